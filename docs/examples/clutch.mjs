/**
 * A run wants to run a script. Nothing happens before a person, here this program, has looked, and what the person
 * changes is what runs.
 *
 *   node docs/examples/clutch.mjs [MODEL]
 *
 * What the model says is written here, so that it is the same each time; leave `script` out to let it think for itself.
 * docs/clutch.md has the rest.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelRegistry } from 'stomp-serve';
import { openClutch, verifyAudit } from 'stomp-serve/clutch';
import { FileGuard, Maasl } from 'stomp-serve/guard';

const folder = mkdtempSync(join(tmpdir(), 'stomp-example-'));
const call = '<tool_call>\n{"name": "run_script", "arguments": {"script": "rm -rf build"}}\n</tool_call>';
const script = (prompt) => (prompt.includes('<tool_response>\n') ? 'It is done.' : call);
const models = new ModelRegistry({ engine: { cacheDir: null, script } });
await models.load(process.argv[2] ?? 'smollm2-135m');
const maasl = await Maasl.open({ database: join(folder, 'stomp.db') });
const clutch = await openClutch({
  storage: join(folder, 'clutch.db'),
  auditFolder: join(folder, 'audit'),
  files: await FileGuard.open(maasl, { roots: [folder] }),
  models, // or `providers`, for other people's models
});

const run = await clutch.start({ prompt: 'Clear the build.', maxTokens: 256, gate: 'all' });
for await (const event of clutch.bus.follow(0, AbortSignal.timeout(120_000))) {
  if (event.type === 'gate_opened') {
    const { id, revision, tool, payload } = event.body.approval;
    console.log(`${tool} waits: ${payload.script}`);
    const edits = { script: 'echo looked at > seen.txt' }; // what you change is what runs
    await clutch.gates.decide(id, { decision: 'approve', revision, edits, by: 'you' });
  }
  if (event.type === 'run_changed' && event.body.run.ended_at) break;
}
const { status, state, sessionId } = await clutch.ended(run.id);
console.log(`the run is ${status}: ${state.output}`);
console.log('what ran was the edit:', readFileSync(join(folder, 'seen.txt'), 'utf8').trim());
await clutch.close();
console.log('faults in its audit:', verifyAudit(join(folder, 'audit', sessionId)).faults.length);
await maasl.close();
await models.close();
rmSync(folder, { recursive: true });
