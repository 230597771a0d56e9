import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { defaultModel, knownModels, knownModelWheel } from '../../../ts/engine/models/known-models.js';
import { modelFolder, resolveModel } from '../../../ts/engine/models/registry.js';

const folder = mkdtempSync(join(tmpdir(), 'stomp-registry-'));
const env = { STOMP_MODEL_DIR: join(folder, 'models'), HF_ENDPOINT: 'http://127.0.0.1:9' };
const options = { onProgress: () => undefined, signal: undefined, retryDelayMs: 1 };
const resolve = (model: string) => resolveModel(model, options, env);

afterAll(() => rmSync(folder, { recursive: true }));

describe('resolveModel', () => {
  it('takes a file or folder by its path', async () => {
    const file = join(folder, 'a.gguf');
    writeFileSync(file, 'GGUF');
    expect(await resolve(file)).toBe(file);
    const model = join(folder, 'model');
    mkdirSync(model);
    writeFileSync(join(model, 'config.json'), '{}');
    expect(await resolve(model)).toBe(model);
  });

  it('takes the one .gguf file in a folder', async () => {
    const model = join(folder, 'one');
    mkdirSync(model);
    writeFileSync(join(model, 'x.gguf'), 'GGUF');
    expect(await resolve(model)).toBe(join(model, 'x.gguf'));
    writeFileSync(join(model, 'y.gguf'), 'GGUF');
    expect(await resolve(model)).toBe(model);
  });

  it('finds a downloaded default model where it keeps it', async () => {
    const wheel = knownModelWheel(defaultModel);
    const kept = join(env.STOMP_MODEL_DIR, defaultModel);
    mkdirSync(kept, { recursive: true });
    const path = join(kept, 'SmolLM2-135M-Instruct.Q4_1.gguf');
    writeFileSync(path, '');
    truncateSync(path, wheel?.member.bytes);
    expect(await resolve(defaultModel)).toBe(path);
  });

  it.each(['no-such-model', './no/such/file', '/no/such.gguf', '~/no-such-file-at-all', 'a/b/c', 'x.gguf'])(
    'refuses %s, naming the known models and the forms it takes',
    async (model) => {
      await expect(resolve(model)).rejects.toMatchObject({
        code: 'MODEL_NOT_FOUND',
        status: 404,
        message: expect.stringMatching(/smollm2-135m.*\.gguf.*hub id/s) as string,
        fields: { model, known: [defaultModel] },
      });
    },
  );

  it.each(['', 'a\0b'])('refuses %j as no name at all', async (model) => {
    await expect(resolve(model)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
  });

  it('asks the hub for what has the form of an id', async () => {
    await expect(resolve('owner/name')).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('owner/name') as string,
    });
  });
});

describe('known models', () => {
  it('lists them without their sources', () => {
    expect(knownModels().map((model) => model.name)).toContain(defaultModel);
    expect(JSON.stringify(knownModels())).not.toContain('sha256');
  });

  it('keeps them in the home folder unless told otherwise', () => {
    expect(modelFolder({})).toBe(join(homedir(), '.stomp-serve', 'models'));
    expect(modelFolder({ STOMP_MODEL_DIR: '~/m' })).toBe(join(homedir(), 'm'));
  });
});
