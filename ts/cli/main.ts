#!/usr/bin/env node
/** The command `stomp-serve`. */
import { run } from './run.js';

// Whoever reads our output may leave early, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

void run(process.argv.slice(2), process).then((code) => process.exit(code));
