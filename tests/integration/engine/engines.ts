/** Engines for tests: small models, folders of their own, closed when the test is over. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import { Engine } from '../../../ts/engine/engine.js';
import type { EngineOptions } from '../../../ts/engine/types.js';

/** Absolute path of a fixture. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
}

export const tinyModel = fixture('models/tiny-llama.Q8_0.gguf');

const engines: Engine[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(engines.splice(0).map((engine) => engine.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A prompt of so many tokens, none of them a marker, of which another seed's differs from the first token on. */
export function promptIds(length: number, seed = 0): number[] {
  return Array.from({ length }, (_, i) => 20 + ((i * 37 + i * i * 11 + seed * 101) % 480));
}

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-engine-'));
  folders.push(folder);
  return folder;
}

/** Changes a file of JSON. */
export function editJson<T>(path: string, edit: (value: T) => void): void {
  const value = JSON.parse(readFileSync(path, 'utf8')) as T;
  edit(value);
  writeFileSync(path, JSON.stringify(value));
}

/** The tiny model as a folder of its own, with room for lists of tools, which are long in so small a vocabulary. */
export function roomyModel(): string {
  const folder = join(temporaryFolder(), 'model');
  cpSync(fixture('models/tiny-llama-bf16'), folder, { recursive: true });
  editJson<Record<string, unknown>>(join(folder, 'config.json'), (config) => {
    config['max_position_embeddings'] = 2048;
  });
  return folder;
}

/** Kept on disk only when given a `cacheDir`. */
export async function load(model = tinyModel, options: EngineOptions = {}): Promise<Engine> {
  const small = { executor: 'cpu', threads: 1, blockTokens: 16, cacheBudgetMb: 16, cacheDir: null } as const;
  const engine = await Engine.load(model, { ...small, ...options });
  engines.push(engine);
  return engine;
}
