// Installs the rival beside this file when it is missing. Its prebuilt binary comes inside its package; nothing is
// compiled and nothing else is downloaded. Not `npm ci`: that insists on the rival's packages for every other platform
// being in the registry, and mirrors may lack some.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
if (!existsSync(new URL('./node_modules/node-llama-cpp', import.meta.url))) {
  const { status } = spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund'], {
    cwd: here,
    stdio: 'inherit',
    env: { ...process.env, NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
  });
  if (status !== 0) process.exit(status ?? 1);
}
