// One experiment or one phase of it. Argument: a file with the task as JSON (processes.mjs); the result is one line of
// JSON.
import { readFileSync } from 'node:fs';
import { load } from './list.mjs';

const task = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { run, phases } = await load(task.id);
const found = await (task.phase === undefined ? run(task) : phases[task.phase](task));
process.stdout.write(`${JSON.stringify(found)}\n`);
