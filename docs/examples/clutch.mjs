/**
 * A run wants to run a script. Nothing happens before a person, here this program, has looked, and what the person
 * changes is what runs.
 *
 *   node docs/examples/clutch.mjs [MODEL]
 *
 * The model only has to call the tool that it is told to call first: the smallest will do. docs/clutch.md has the rest.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelRegistry } from 'stomp-serve';
import { openClutch, verifyAudit } from 'stomp-serve/clutch';
import { FileGuard, Maasl } from 'stomp-serve/guard';

const folder = mkdtempSync(join(tmpdir(), 'stomp-example-'));
const models = new ModelRegistry({ engine: { cacheDir: null } });
await models.load(process.argv[2] ?? 'smollm2-135m');
const maasl = await Maasl.open({ database: join(folder, 'stomp.db') });
const clutch = await openClutch({
  storage: join(folder, 'clutch.db'),
  auditFolder: join(folder, 'audit'),
  files: await FileGuard.open(maasl, { roots: [folder] }),
  models, // or `providers`, for other people's models
});

const run = await clutch.start({
  prompt: 'List the files.',
  firstTool: 'run_script',
  maxTokens: 24,
  gate: 'all',
});
let isFirst = true;
for await (const event of clutch.bus.follow(0, AbortSignal.timeout(120_000))) {
  if (event.type === 'gate_opened') {
    const { id, revision, tool, preview } = event.body.approval;
    console.log(`${tool} waits: ${preview.title.replaceAll(folder, 'the folder')}`);
    const edits = { script: 'echo looked at > seen.txt' };
    if (isFirst) await clutch.gates.decide(id, { decision: 'approve', revision, edits, by: 'you' });
    else
      await clutch.gates.decide(id, { decision: 'reject', revision, reason: 'That was enough.', by: 'you' });
    isFirst = false;
  }
  if (event.type === 'run_changed' && event.body.run.ended_at) break;
}
const { status, sessionId } = await clutch.ended(run.id);
console.log(
  `the run is ${status}; what ran was the edit: ${readFileSync(join(folder, 'seen.txt'), 'utf8').trim()}`,
);
await clutch.close();
console.log('faults in its audit:', verifyAudit(join(folder, 'audit', sessionId)).faults.length);
await maasl.close();
await models.close();
rmSync(folder, { recursive: true });
