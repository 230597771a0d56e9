// Installs the rival and the micro-benchmark's library beside this file when they are missing, and builds the program
// that measures the machine. The rival's prebuilt binary comes inside its package. Not `npm ci`: that insists on the
// rival's packages for every other platform being in the registry, and mirrors may lack some.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildCeilings } from './ceilings.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

function install() {
  const wanted = ['node-llama-cpp', 'benchmark'];
  if (wanted.every((name) => existsSync(join(here, 'node_modules', name)))) return true;
  const { status } = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund'], {
    cwd: here,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
  });
  return status === 0;
}

if (!existsSync(join(here, '..', 'dist', 'index.js'))) {
  console.error('stomp-serve is not built here: run `npm run build` first');
  process.exit(1);
}
if (!install()) {
  console.error('node-llama-cpp and benchmark could not be installed; npm says why above');
  process.exit(1);
}
if (!buildCeilings()) {
  console.error('no C++ compiler built bench/native/ceilings.cc; set CXX to one');
  process.exit(1);
}
