/**
 * The package as users get it: packed, installed into empty projects by each package manager, on each Node, where
 * there is no compiler, no CMake and no Python, and then used.
 *
 *   node scripts/test-package.mjs            npm, pnpm and yarn; Node 20, 22, 24 and 26
 *   node scripts/test-package.mjs --short    npm, and the Node that runs this
 *
 * Programs come from npm and stay in the cache of dependencies. Ends with one line, `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bounds, pack, problemsOf } from './check-tarball.mjs';
import { isStale } from './native/freshness.mjs';
import { managers, nodeOf, npmProgram, thisNode } from './native/programs.mjs';
import { releaseIsReachable, standIn } from './native/sqlite-binary.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const model = join(root, 'tests', 'fixtures', 'models', 'tiny-llama.Q8_0.gguf');
const work = mkdtempSync(join(tmpdir(), 'stomp-package-'));
const counts = { passed: 0, failed: 0 };

function result(name, problem) {
  counts[problem ? 'failed' : 'passed']++;
  console.log(problem ? `FAIL  ${name}: ${problem}` : `ok    ${name}`);
}

/** The addon of this platform must be in the package; it is built again when its sources are newer. */
function makePrebuild() {
  const libc = process.platform === 'linux' ? '.glibc' : '';
  const addon = join(root, 'prebuilds', `${process.platform}-${process.arch}`, `stomp-serve${libc}.node`);
  const sources = ['cpp', 'metal', 'CMakeLists.txt'].map((name) => join(root, name));
  if (!isStale(addon, sources.filter(existsSync))) return;
  const { status } = spawnSync(process.execPath, [npmProgram(), 'run', 'prebuild'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error('stomp-serve: there is no prebuild to test');
}

// What scripts of installs may expect of any system; no compiler, no make, no Python.
const basics = [
  'sh',
  'env',
  'sed',
  'dirname',
  'basename',
  'uname',
  'readlink',
  'cat',
  'ls',
  'rm',
  'mkdir',
  'git',
];

/** A folder that is the whole PATH. */
function barePath(node) {
  const folder = mkdtempSync(join(work, 'path-'));
  symlinkSync(node.program, join(folder, 'node'));
  for (const name of basics) {
    const found = (process.env.PATH ?? '')
      .split(':')
      .map((part) => join(part, name))
      .find(existsSync);
    if (found) symlinkSync(found, join(folder, name));
  }
  return folder;
}

async function environment(node) {
  const env = { PATH: barePath(node), HOME: mkdtempSync(join(work, 'home-')), CI: '1', NO_COLOR: '1' };
  for (const name of ['NODE_EXTRA_CA_CERTS', 'HTTPS_PROXY', 'HTTP_PROXY', 'npm_config_registry']) {
    if (process.env[name]) env[name] = process.env[name];
  }
  env.npm_config_cache = join(process.env.HOME ?? work, '.npm');
  env.YARN_NODE_LINKER = 'node-modules';
  if (!(await releaseIsReachable(node))) {
    env.npm_config_better_sqlite3_local_prebuilds = standIn(node);
    console.log(
      `      better-sqlite3's release is out of reach for ${node.version}: installed from a stand-in`,
    );
  }
  return env;
}

/** @returns {{ status: number | null, text: string }} */
function run(program, args, options) {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: 10 * 60_000,
    ...options,
  });
  return { status, text: `${stdout ?? ''}${stderr ?? ''}`.trim() };
}

/** How each manager adds a packed file, and lets the one dependency that needs its install script run it. */
const installs = {
  npm: (tarball) => ['install', '--no-audit', '--no-fund', tarball],
  pnpm: (tarball) => ['add', '--allow-build=better-sqlite3', '--allow-build=stomp-serve', tarball],
  yarn: (tarball) => ['add', '--no-progress', `file:${tarball}`],
  berry: (tarball) => ['add', `stomp-serve@file:${tarball}`],
};

function makeProject(manager) {
  const folder = mkdtempSync(join(work, `${manager}-`));
  // The scripts of dependencies are what some managers would leave out by themselves.
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'empty', private: true, type: 'module' }),
  );
  writeFileSync(
    join(folder, '.yarnrc.yml'),
    'nodeLinker: node-modules\nenableScripts: true\nenableTelemetry: false\n',
  );
  writeFileSync(join(folder, 'yarn.lock'), '');
  cpSync(join(root, 'tests', 'package', 'uses.mjs'), join(folder, 'uses.mjs'));
  return folder;
}

async function testInstall(manager, node, tarball) {
  const name = `${manager}, Node ${node.version}`;
  const folder = makeProject(manager);
  const options = { cwd: folder, env: await environment(node) };
  const installed = run(node.program, [managers[manager](), ...installs[manager](tarball)], options);
  result(`${name}: installs`, installed.status === 0 ? '' : installed.text.slice(-3000));
  if (installed.status !== 0) return undefined;
  testUses(name, node, options);
  testCommand(name, options);
  return options;
}

function testUses(name, node, options) {
  const { status, text } = run(node.program, ['uses.mjs', model], options);
  const lines = text.split('\n').filter((line) => /^(ok|FAIL) /.test(line));
  for (const line of lines) result(`${name}: ${line.slice(6)}`, line.startsWith('ok') ? '' : 'see above');
  if (status === 0 && lines.length) return;
  console.log(text);
  if (!lines.some((line) => line.startsWith('FAIL'))) result(`${name}: is used`, `status ${status}`);
}

function testCommand(name, options) {
  const command = join(options.cwd, 'node_modules', '.bin', 'stomp-serve');
  const version = run(command, ['--version'], options);
  result(`${name}: stomp-serve --version`, /^\d+\.\d+\.\d+$/.test(version.text) ? '' : version.text);
  // Built by nobody: what is opened is what was packed.
  const doctor = run(command, ['doctor', '--cache-dir', join(options.env.HOME, 'caches')], options);
  result(`${name}: opens the prebuild`, /^ok +addon .*prebuilds/m.test(doctor.text) ? '' : doctor.text);
}

const resolutions = [
  ['node16', 'types.ts', ['--module', 'node16']],
  ['bundler', 'types.ts', ['--module', 'esnext', '--moduleResolution', 'bundler']],
  // `require` of a module: Node 20.19 and later do it, and TypeScript knows.
  ['nodenext, CommonJS', 'types.cts', ['--module', 'nodenext']],
];

function testTypes({ cwd }) {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const source = join(root, 'tests', 'package', 'types.ts');
  for (const [name, file, flags] of resolutions) {
    cpSync(source, join(cwd, file));
    const args = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--target',
      'es2022',
      '--skipLibCheck',
    ];
    const { status, text } = run(process.execPath, [compiler, ...args, ...flags, file], { cwd });
    result(`types resolve: ${name}`, status === 0 ? '' : text.slice(0, 3000));
    rmSync(join(cwd, file));
  }
}

function testWithAttw(tarball) {
  // By design there is one form, ESM, which `require` takes.
  const args = [managers.attw(), tarball, '--ignore-rules', 'cjs-resolves-to-esm', '--profile', 'node16'];
  const { status, text } = run(process.execPath, [...args, '--format', 'ascii'], { cwd: work });
  result('are the types wrong? no', status === 0 ? '' : text.slice(-3000));
}

async function main(short) {
  makePrebuild();
  const packed = pack('--pack-destination', work);
  const tarball = join(work, packed.filename);
  result(
    `the package is within ${bounds.packed} bytes and holds what it must`,
    problemsOf(packed, []).join('; '),
  );
  const here = await testInstall('npm', thisNode(), tarball);
  if (here) testTypes(here);
  if (short) return;
  for (const major of ['20', '22', '24', '26']) await testInstall('npm', nodeOf(major), tarball);
  for (const manager of ['pnpm', 'yarn', 'berry']) await testInstall(manager, nodeOf('22'), tarball);
  testWithAttw(tarball);
}

try {
  await main(process.argv.includes('--short'));
} catch (error) {
  result('the test itself', error.message);
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed || !counts.passed ? 1 : 0;
