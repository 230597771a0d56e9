import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bringHubModel, type HubOptions, parseHubId } from '../../../ts/engine/models/hub-model.js';
import { type FileFaults, type Handler, sendFile, serve, type TestServer } from './file-server.js';

const weights = randomBytes(200_000);
const commit = 'c0ffee'.padEnd(40, '0');

let folder: string;
let server: TestServer | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-hub-'));
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const hash = (algorithm: string, ...parts: (Buffer | string)[]) =>
  parts.reduce((sum, part) => sum.update(part), createHash(algorithm)).digest('hex');

/** A hub with one repository; weights are kept as large files are, the rest as git keeps them. */
function hub(
  files: Record<string, Buffer>,
  faults: FileFaults = {},
  lie: Record<string, Buffer> = {},
): Handler {
  const tree = Object.entries(files).map(([path, bytes]) => {
    const entry = {
      type: 'file',
      path,
      size: bytes.length,
      oid: hash('sha1', `blob ${bytes.length}\0`, bytes),
    };
    const large = /\.(safetensors|gguf)$/.test(path);
    return large
      ? { ...entry, lfs: { oid: hash('sha256', bytes), size: bytes.length, pointerSize: 130 } }
      : entry;
  });
  const info = { _id: '1', id: 'own/model', sha: commit, downloads: 0, likes: 0 };
  const listing = [...tree, { type: 'directory', path: 'onnx', size: 0, oid: 'x' }];
  const pages = new Map<string, unknown>([
    ['/api/models/own/model/revision/HEAD', info],
    [`/api/models/own/model/tree/${commit}`, listing],
  ]);
  return (request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://hub');
    const name = pathname.replace(`/own/model/resolve/${commit}/`, '');
    const bytes = lie[name] ?? files[name];
    const isProbe = request.headers.range === 'bytes=0-0';
    if (bytes) sendFile(bytes, isProbe ? {} : faults)(request, response);
    else sendJson(response, pages.get(pathname));
  };
}

function sendJson(response: ServerResponse, page: unknown): void {
  const body = page ?? { error: 'Repository not found' };
  response.writeHead(page ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function options(handler: Handler): Promise<HubOptions> {
  server = await serve(handler);
  return {
    hubUrl: server.url,
    accessToken: undefined,
    onProgress: () => undefined,
    signal: undefined,
    retryDelayMs: 1,
  };
}

const plain = {
  'config.json': Buffer.from('{"model_type":"llama"}'),
  'tokenizer.json': Buffer.from('{}'),
  'chat_template.jinja': Buffer.from('hi'),
  'model.safetensors': weights,
  'consolidated.safetensors': weights,
  'pytorch_model.bin': weights,
  'README.md': Buffer.from('read me'),
};
const id = { repo: 'own/model', file: undefined };

describe('bringHubModel', () => {
  it('brings the weights and what describes them, and nothing else', async () => {
    const seen = new Map<string, number>();
    const bringing = await options(hub(plain));
    const path = await bringHubModel(id, folder, {
      ...bringing,
      onProgress: (progress) => progress.phase === 'download' && seen.set(progress.file, progress.doneBytes),
    });
    const kept = readdirSync(path).filter((name) => !name.startsWith('.'));
    expect(kept.sort()).toEqual([
      'chat_template.jinja',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true);
    expect(seen.get('model.safetensors')).toBe(weights.length);
  });

  it('asks nobody once all is there, and asks again when something is missing', async () => {
    const bringing = await options(hub(plain));
    const path = await bringHubModel(id, folder, bringing);
    const before = server?.requests.length ?? 0;
    expect(await bringHubModel(id, folder, bringing)).toBe(path);
    expect(server?.requests).toHaveLength(before);
    rmSync(join(path, 'config.json'));
    await bringHubModel(id, folder, bringing);
    expect(readFileSync(join(path, 'config.json'))).toEqual(plain['config.json']);
    writeFileSync(join(path, '.stomp-model.json'), '{');
    await bringHubModel(id, folder, bringing);
    expect(JSON.parse(readFileSync(join(path, '.stomp-model.json'), 'utf8'))).toMatchObject({
      revision: commit,
    });
  });

  it('goes on where a download was cut', async () => {
    const bringing = await options(hub(plain, { cutAfter: 60_000 }));
    const path = await bringHubModel(id, folder, bringing);
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true);
    expect(server?.requests.some((request) => /model\.safetensors bytes=[1-9]/.test(request))).toBe(true);
  });

  it('begins again with a server that knows no ranges', async () => {
    let answers = 0;
    const cut = hub(plain, { cutAfter: 60_000, noRanges: true });
    const whole = hub(plain, { noRanges: true });
    const bringing = await options((request, response) => {
      const first =
        request.url?.endsWith('model.safetensors') &&
        request.headers.range !== 'bytes=0-0' &&
        answers++ === 0;
      (first ? cut : whole)(request, response);
    });
    const path = await bringHubModel(id, folder, bringing);
    expect(readFileSync(join(path, 'model.safetensors')).equals(weights)).toBe(true);
  });

  it.each(['model.safetensors', 'config.json'] as const)(
    'refuses a %s with the wrong checksum',
    async (name) => {
      const other = Buffer.from(plain[name]);
      other[3] = (other[3] ?? 0) ^ 1;
      await expect(
        bringHubModel(id, folder, await options(hub(plain, {}, { [name]: other }))),
      ).rejects.toMatchObject({
        code: 'MODEL_DOWNLOAD',
        message: expect.stringContaining('checksum') as string,
      });
    },
  );

  it('takes the one .gguf file of a repository', async () => {
    const path = await bringHubModel(
      id,
      folder,
      await options(hub({ 'a.gguf': weights, 'README.md': weights })),
    );
    expect(path).toBe(join(folder, 'own--model', 'a.gguf'));
  });

  it('asks which of several .gguf files is meant, and takes the one named', async () => {
    const bringing = await options(hub({ 'a.gguf': weights, 'b.gguf': weights }));
    await expect(bringHubModel(id, folder, bringing)).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('own/model/b.gguf') as string,
    });
    expect(await bringHubModel({ ...id, file: 'b.gguf' }, folder, bringing)).toMatch(/b\.gguf$/);
    await expect(bringHubModel({ ...id, file: 'c.gguf' }, folder, bringing)).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    });
  });

  it('refuses a repository without a model in it', async () => {
    await expect(
      bringHubModel(id, folder, await options(hub({ 'README.md': weights }))),
    ).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
    });
  });

  it('writes no file outside of its folder, whatever the hub calls it', async () => {
    const evil = { ...plain, '../evil.json': Buffer.from('{}'), 'sub/x.json': Buffer.from('{}') };
    await bringHubModel(id, folder, await options(hub(evil)));
    expect(readdirSync(folder)).toEqual(['own--model']);
    expect(readdirSync(join(folder, 'own--model'))).not.toContain('sub');
  });

  it('says that there is no such repository', async () => {
    const nobody = { repo: 'own/other', file: undefined };
    await expect(bringHubModel(nobody, folder, await options(hub(plain)))).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('own/other') as string,
    });
  });

  it('says that the hub cannot be reached', async () => {
    const bringing = await options(hub(plain));
    await server?.close();
    await expect(bringHubModel(id, folder, bringing)).rejects.toMatchObject({ code: 'MODEL_DOWNLOAD' });
  });

  it('can be aborted', async () => {
    const abort = new AbortController();
    const bringing = await options(hub(plain));
    const onProgress = () => abort.abort();
    await expect(
      bringHubModel(id, folder, { ...bringing, signal: abort.signal, onProgress }),
    ).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });
});

describe('parseHubId', () => {
  it.each([
    ['owner/name', { repo: 'owner/name', file: undefined }],
    ['o-w.n/na_me-1.5', { repo: 'o-w.n/na_me-1.5', file: undefined }],
    ['owner/name/file.Q4_1.gguf', { repo: 'owner/name', file: 'file.Q4_1.gguf' }],
  ])('takes %s', (model, expected) => {
    expect(parseHubId(model)).toEqual(expected);
  });

  it.each(['name', '/owner/name', 'owner/name/', 'a/b/c', '../b', 'a/..', 'own er/name', 'a/b?x'])(
    'refuses %s',
    (model) => {
      expect(parseHubId(model)).toBeUndefined();
    },
  );
});
