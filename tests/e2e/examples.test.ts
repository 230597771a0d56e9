/** The programs of docs/examples print what the file beside each says. Servers among them: embedding.test.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from './server-process.js';

const folder = join(import.meta.dirname, '../../docs/examples');
const tinyModel = join(import.meta.dirname, '../fixtures/models/tiny-llama.Q8_0.gguf');
const servers = ['express', 'fastify', 'node-http'];
// Tools take more room than the tiny model has, and it knows no English: these run with the model that a reader gets.
const withDefaultModel = ['clutch', 'model-onboarding'];
const outputs = readdirSync(folder).filter((file) => file.endsWith('.out'));

async function run(name: string, model?: string): Promise<{ code: number | null; out: string; err: string }> {
  const args = model ? [model] : withDefaultModel.includes(name) ? [] : [tinyModel];
  const child = spawn(process.execPath, [join(folder, `${name}.mjs`), ...args], {
    // Caches and locks of its own; models are where they always are.
    env: {
      ...process.env,
      HOME: temporaryFolder(),
      STOMP_MODEL_DIR: process.env['STOMP_MODEL_DIR'] ?? join(homedir(), '.stomp-serve', 'models'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data));
  child.stderr.on('data', (data: Buffer) => (err += data));
  await once(child, 'close');
  return { code: child.exitCode, out, err };
}

/** `…` stands for anything that is not nothing. */
function pattern(expected: string): RegExp {
  const lines = expected.split('\n').map((line) => line.split('…').map(literal).join('.+'));
  return new RegExp(`^${lines.join('\\n')}$`, 'su');
}

const literal = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');

describe('the examples', () => {
  it('each have their output beside them', () => {
    const names = (ending: string) =>
      readdirSync(folder)
        .filter((file) => file.endsWith(ending))
        .map((file) => file.slice(0, -4));
    expect(names('.out').sort()).toEqual(
      names('.mjs')
        .filter((name) => !servers.includes(name))
        .sort(),
    );
  });

  it('say what it means when a model is not as it should be, and fail', async () => {
    const untrained = join(import.meta.dirname, '../fixtures/models/tiny-gemma3-bf16');
    const { code, out, err } = await run('model-onboarding', untrained);
    expect(out).toContain('finds English likelier than its reverse: false');
    expect(err).toContain('its numbers are wrong');
    expect(code).toBe(1);
  });

  it.each(outputs)('print %s', async (file) => {
    const { code, out, err } = await run(file.slice(0, -'.out'.length));
    expect(err).toBe('');
    expect(out).toMatch(pattern(readFileSync(join(folder, file), 'utf8')));
    expect(code).toBe(0);
  });
});
