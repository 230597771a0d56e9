/**
 * Two agents announce symbols of a git repository, and are told what will clash before either has edited anything.
 *
 *   node docs/examples/reservations.mjs
 *
 * docs/reservations.md has the kinds of conflict, and how branches are merged symbol by symbol.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Reservations } from 'stomp-serve/reservations';

const folder = mkdtempSync(join(tmpdir(), 'stomp-example-'));
execFileSync('git', ['init', '--quiet', folder]);
writeFileSync(join(folder, 'tax.py'), 'def rate():\n    return 0.19\n');
writeFileSync(
  join(folder, 'bill.py'),
  'from tax import rate\n\n\ndef total(sum):\n    return sum * (1 + rate())\n',
);

const reservations = await Reservations.open({ folder });
await reservations.reserve({
  runId: 'ann',
  branch: 'feat/tax',
  addresses: ['tax.py::rate'],
  operation: 'modify',
});
const { conflicts } = await reservations.reserve({
  runId: 'bob',
  branch: 'feat/bill',
  addresses: ['bill.py::total'],
  forecast: true,
});
for (const { conflictType, confidence, description } of conflicts)
  console.log(confidence, conflictType, description);

const taken = { runId: 'bob', branch: 'feat/bill', addresses: ['tax.py::rate'], ifFree: true };
await reservations.reserve(taken).catch(({ code }) => console.log('only if it is free:', code));
await reservations.close();
rmSync(folder, { recursive: true });
