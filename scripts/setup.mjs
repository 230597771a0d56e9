/**
 * Does what is missing between a fresh clone and a working one, and nothing else: packages, the native
 * build, the TypeScript build, the dashboard. Silent when there is nothing to do. `--dev` also turns on the git hooks.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isStale, nativeSources } from './native/freshness.mjs';
import { hasEngine } from './native/platform.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const at = (...parts) => join(root, ...parts);

function step(text, command, args) {
  console.error(`stomp-serve: ${text}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status === 0) return;
  console.error(`stomp-serve: ${text} failed; see above`);
  process.exit(status ?? 1);
}

function node(text, ...args) {
  step(text, process.execPath, args);
}

/** Packages are current when they were installed from this lock file. */
function packages() {
  const mark = at('node_modules', '.stomp-lock');
  const lock = createHash('sha256')
    .update(readFileSync(at('package-lock.json')))
    .digest('hex');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === lock) return;
  if (existsSync(mark) || isStale(at('node_modules', '.package-lock.json'), [at('package-lock.json')])) {
    step('installing packages and building the engine (npm ci)', 'npm', ['ci', '--include=dev']);
  }
  writeFileSync(mark, lock);
}

function native() {
  if (!hasEngine()) return;
  const prebuilt = existsSync(at('prebuilds')) && !existsSync(at('build'));
  const product = at('build', 'Release', 'stomp_serve.node');
  if (
    prebuilt ||
    !isStale(
      product,
      nativeSources.map((path) => at(path)),
    )
  )
    return;
  node('building the engine', at('scripts', 'build-native.mjs'));
}

function typescript() {
  const info = at('dist', '.tsbuildinfo');
  if (
    !isStale(
      info,
      ['ts', 'tsconfig.json', 'tsconfig.build.json'].map((path) => at(path)),
    )
  )
    return;
  node('building TypeScript', at('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json');
  // The compiler leaves the file alone when nothing that matters to it changed.
  utimesSync(info, new Date(), new Date());
}

function dashboard() {
  const product = at('dist', 'ui', 'index.html');
  if (
    !isStale(
      product,
      ['ts/ui', 'ts/clutch', 'package-lock.json'].map((path) => at(path)),
    )
  )
    return;
  node(
    'building the dashboard',
    at('node_modules', 'vite', 'bin', 'vite.js'),
    'build',
    'ts/ui',
    '--logLevel',
    'warn',
  );
}

function hooks() {
  if (process.env.CI || !existsSync(at('.git'))) return;
  const git = (...args) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (git('config', '--get', 'core.hooksPath').stdout.trim()) return;
  git('config', 'core.hooksPath', 'scripts/hooks');
}

packages();
native();
typescript();
dashboard();
if (process.argv.includes('--dev')) hooks();
