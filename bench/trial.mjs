// One trial, in a process of its own. Argument: the task as JSON; results are lines on standard output.
import { runScenario } from './scenarios.mjs';

const task = JSON.parse(process.argv[2]);
const { open } = await import(task.module);
const side = await open(task);
try {
  await runScenario(side, task);
} finally {
  await side.close();
}
