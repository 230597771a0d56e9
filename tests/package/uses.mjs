/**
 * What a user of an installed package does, from a project of its own: `node uses.mjs MODEL` brings every export in by
 * `import` and by `require`, generates with a model, and opens each of the other parts. Prints a line for each
 * promise that is kept, `FAIL` for one that is not, and the counts. With `--mlx`, after `stomp-serve setup mlx`, it
 * looks at the MLX executor alone; MODEL then has heads that an 8-bit cache does not fit, as tiny-llama has.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [model] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'stomp-uses-'));
const manifest = JSON.parse(readFileSync(require.resolve('stomp-serve/package.json'), 'utf8'));

const withMlx = process.argv.includes('--mlx');
const promises = withMlx
  ? { 'an error keeps its code on its way out of the executor library': crossing }
  : {
      'every export is had by import and by require': everyExport,
      'an engine answers, and answers the same again': generation,
      'a guarded file is changed': guard,
      'a project is made and written about': context,
      'a symbol is reserved': reservations,
      'a run says which library of a provider is missing': clutch,
    };

async function everyExport() {
  const paths = Object.keys(manifest.exports).filter((path) => !path.endsWith('.json'));
  assert.ok(paths.length > 5);
  for (const path of paths) {
    const name = join(manifest.name, path);
    const imported = Object.keys(await import(name));
    assert.ok(imported.length > 0, name);
    assert.deepEqual(Object.keys(require(name)).sort(), imported.sort(), name);
  }
}

async function generation() {
  const { Engine } = await import('stomp-serve');
  const engine = await Engine.load(model, { cacheDir: null, executor: 'cpu' });
  const ask = () => engine.chat([{ role: 'user', content: 'hello' }], { maxTokens: 8 }).text();
  const answer = await ask();
  assert.ok(answer.length > 0);
  assert.equal(await ask(), answer);
  await engine.close();
}

/** Thrown in libstomp_mlx, caught in the addon: as a prebuild both are stripped, and linked apart. */
async function crossing() {
  const { Engine } = await import('stomp-serve');
  const options = { cacheDir: null, executor: 'mlx', kvBits: 8, blockTokens: 64 };
  await assert.rejects(Engine.load(model, options), { code: 'INVALID_REQUEST', message: /groups of 32/ });
}

async function guard() {
  const { FileGuard, Maasl } = await import('stomp-serve/guard');
  const maasl = await Maasl.open({ database: join(folder, 'guard.db') });
  const files = await FileGuard.open(maasl, { roots: [folder] });
  const who = { agentId: 'ann', sessionId: 'ann-1' };
  const path = join(folder, 'a.txt');
  await files.write(path, 'let', {}, who);
  const { sha256 } = await files.read(path, {}, who);
  await files.edit(path, { oldText: 'let', newText: 'const', expectedSha256: sha256 }, who);
  assert.equal(readFileSync(path, 'utf8'), 'const');
  await maasl.close();
}

async function context() {
  const { AgentContextManager } = await import('stomp-serve/context');
  const manager = await AgentContextManager.open({ database: join(folder, 'context.db'), roots: [folder] });
  const { session_id: sessionId } = await manager.startSession('ann');
  await manager.createProject({ name: 'web' });
  await manager.setCurrentProject('ann', 'web', { sessionId, expectedVersion: 0 });
  await manager.appendEntry('Done', { agentId: 'ann', sessionId, project: 'web', status: 'success' });
  await manager.close();
}

async function reservations() {
  const { Reservations } = await import('stomp-serve/reservations');
  const repository = join(folder, 'repository');
  const git = (...args) => execFileSync('git', args, { cwd: repository, stdio: 'ignore' });
  execFileSync('git', ['init', '-q', repository]);
  writeFileSync(join(repository, 'tax.ts'), 'export function rate() { return 1; }\n');
  git('add', '.');
  git('-c', 'user.name=ann', '-c', 'user.email=ann@example.test', 'commit', '-q', '-m', 'begin');
  const opened = await Reservations.open({ folder: repository });
  const { held } = await opened.reserve({ runId: 'ann', addresses: ['tax.ts::rate'], operation: 'modify' });
  assert.ok(held);
  await opened.close();
}

async function clutch() {
  const { openClutch } = await import('stomp-serve/clutch');
  const { FileGuard, Maasl } = await import('stomp-serve/guard');
  const maasl = await Maasl.open({ database: join(folder, 'clutch-guard.db') });
  const opened = await openClutch({
    storage: join(folder, 'clutch.db'),
    auditFolder: join(folder, 'audit'),
    files: await FileGuard.open(maasl, { roots: [folder] }),
    providers: { local: { kind: 'openai', baseUrl: 'http://127.0.0.1:1/v1' } },
    defaultProvider: 'local',
  });
  const { id } = await opened.start({ prompt: 'hello' });
  const { status, error } = await opened.ended(id, AbortSignal.timeout(60_000));
  assert.equal(status, 'error');
  // The client of a provider is brought by whoever uses one: the run says so.
  assert.match(JSON.stringify(error), /npm install openai/);
  await opened.close();
  await maasl.close();
}

let failed = 0;
for (const [promise, keep] of Object.entries(promises)) {
  try {
    await keep();
    console.log(`ok    ${promise}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${promise}: ${error.stack}`);
  }
}
rmSync(folder, { recursive: true, force: true });
console.log(`${Object.keys(promises).length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
