/** A process that works on runs is killed at every point at which it writes: nothing happens unseen, twice or never. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Gate, isGranted } from '../../../ts/clutch/gates/gate.js';
import { listGates } from '../../../ts/clutch/gates/gate-rows.js';
import { SqliteStorage } from '../../../ts/storage/sqlite.js';
import { runScript, ScriptedModel, turns } from '../../unit/clutch/scripted-model.js';
import { type Compiled, compiled } from '../compiled.js';

const program = join(import.meta.dirname, 'kill-process.mjs');

const parts = readdirSync(join(import.meta.dirname, '../../../ts')).filter((part) => part !== 'ui');

let sources: Compiled;
let model: ScriptedModel;
beforeAll(async () => {
  sources = compiled(parts);
  const script = runScript('echo done >> effects');
  model = await ScriptedModel.start(turns({ text: 'I do it.', calls: [script] }));
});
afterAll(async () => {
  sources.remove();
  await model.close();
});

interface Kill {
  readonly at: number;
  readonly side: 'before' | 'after';
}

interface Ended {
  readonly signal: NodeJS.Signals | null;
  readonly output: { readonly writes: number; readonly status: string } | undefined;
}

function live(folder: string, kill?: Kill): Promise<Ended> {
  const options = JSON.stringify({ sources: sources.url('index.js'), folder, model: model.url, kill });
  const child = spawn(process.execPath, [program, options], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  return new Promise((resolve) => {
    child.once('close', (_code, signal) => {
      resolve({ signal, output: text === '' ? undefined : JSON.parse(text) });
    });
  });
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-kill-')));
  mkdirSync(join(folder, 'root'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function effects(folder: string): string[] {
  const file = join(folder, 'root', 'effects');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
}

/** All gates, as the rows say. */
async function gatesIn(folder: string): Promise<Gate[]> {
  const storage = new SqliteStorage({ path: join(folder, 'clutch.db') });
  try {
    return await storage.read(() => listGates({ status: undefined, runId: undefined, limit: 10 }));
  } catch (error) {
    // There are no tables yet.
    expect(String(error)).toContain('clutch_gates');
    return [];
  } finally {
    await storage.close();
  }
}

/** @returns whether a person was asked what had become of the call */
function killedAt(kill: Kill): Promise<boolean> {
  return inFolder(async (folder) => {
    const first = await live(folder, kill);
    expect(first.signal).toBe('SIGKILL');
    if (!(await gatesIn(folder)).some(isGranted)) expect(effects(folder)).toEqual([]);
    const second = await live(folder);
    expect(second.output?.status).toBe('done');
    expect(effects(folder)).toEqual(['done']);
    return (await gatesIn(folder)).some(({ kind }) => kind === 'ask');
  });
}

it('never does what nobody has allowed, never twice, and always once it is allowed', async () => {
  const writes = await inFolder(async (folder) => (await live(folder)).output?.writes ?? 0);
  expect(writes).toBeGreaterThan(10);
  const kills = Array.from({ length: writes - 2 }, (_, i) => i + 1).flatMap((at): Kill[] => [
    { at, side: 'before' },
    { at, side: 'after' },
  ]);
  const next = kills.values();
  let asked = 0;
  const worker = async (): Promise<void> => {
    for (const kill of next) {
      const wasAsked = await killedAt(kill).catch((error: unknown) => {
        throw new Error(`killed ${kill.side} write ${kill.at}: ${error}`, { cause: error });
      });
      if (wasAsked) asked++;
    }
  };
  await Promise.all([worker(), worker()]);
  // Between the row that says that the call begins and the one that says that it has ended.
  expect(asked).toBeGreaterThanOrEqual(2);
}, 600_000);
