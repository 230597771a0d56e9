/**
 * Two agents edit one file. The one that looked before the other wrote is refused, and looks again.
 *
 *   node docs/examples/guard.mjs
 *
 * docs/guard.md has leases, fencing tokens, and the guards of databases, graphs and docs.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileGuard, Maasl } from 'stomp-serve/guard';

const folder = mkdtempSync(join(tmpdir(), 'stomp-example-'));
const file = join(folder, 'tax.ts');
writeFileSync(file, 'let rate = 0.19;\n');

const maasl = await Maasl.open({ database: join(folder, 'stomp.db') }); // all that name it respect the same locks
const files = await FileGuard.open(maasl, { roots: [folder] });
const ann = { agentId: 'ann', sessionId: 'ann-1' };
const bob = { agentId: 'bob', sessionId: 'bob-1' };

const seenByAnn = await files.read(file, {}, ann);
const seenByBob = await files.read(file, {}, bob);
await files.edit(file, { oldText: 'let', newText: 'const', expectedSha256: seenByAnn.sha256 }, ann);
const late = { oldText: '0.19', newText: '0.2', expectedSha256: seenByBob.sha256 };
await files.edit(file, late, bob).catch(({ code }) => console.log('bob is refused:', code));

const { sha256 } = await files.read(file, {}, bob);
await files.edit(file, { ...late, expectedSha256: sha256 }, bob);
console.log('both changes are there:', readFileSync(file, 'utf8').trim());

await files.read('/etc/passwd', {}, bob).catch(({ code }) => console.log('outside of the roots:', code));
await maasl.close();
rmSync(folder, { recursive: true });
