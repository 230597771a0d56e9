#!/usr/bin/env node
/** The command `stomp-serve`. */
import { run } from './run.js';

// Whoever reads our output may leave early, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

const args = process.argv.slice(2);

void run(args, process).then((code) => {
  const exit = () => process.exit(code);
  // A pipe takes 64 kB at once, and the rest as it is read; `mcp` has waited for its client already.
  if (args[0] === 'mcp') exit();
  else process.stdout.write('', exit);
});
