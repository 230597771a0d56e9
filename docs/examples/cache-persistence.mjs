/**
 * An agent outlives the process: its cache and its conversation are read back from disk.
 *
 *   node docs/examples/cache-persistence.mjs [MODEL]
 *
 * docs/format.md says what is in the file.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from 'stomp-serve';

const model = process.argv[2] ?? 'smollm2-135m';
const cacheDir = mkdtempSync(join(tmpdir(), 'stomp-example-')); // yours would be a folder that stays

const before = await Engine.load(model, { cacheDir });
await before.agent('keeper').chat('The lamp is broken. What do I do?', { maxTokens: 24 }).text();
await before.agent('keeper').save(); // close() does so as well; afterwards it survives `kill -9`
console.log('saved:', (await before.agents()).map(({ id, tier }) => `${id} is ${tier}`).join());
await before.close();

const after = await Engine.load(model, { cacheDir }); // another process would do the same
console.log('found:', (await after.agents()).map(({ id, tier }) => `${id} is ${tier}`).join());
const turn = after.agent('keeper').chat('And then?', { maxTokens: 24 });
await turn.text();
const { usage } = await turn.result;
console.log(`went on: ${usage.restoredTokens} tokens from the disk, ${usage.computedTokens} computed`);
await after.close();
rmSync(cacheDir, { recursive: true });
