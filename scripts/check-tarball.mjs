/**
 * What `npm pack` would publish: within its bounds, with all that it needs and nothing that has no business there.
 *
 *   node scripts/check-tarball.mjs [--publish]
 *
 * --publish, which `npm publish` runs, also asks for the prebuilds of every platform that has the engine.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, posix, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readPage } from './docs/markdown.mjs';
import { enginePlatforms } from './native/platform.mjs';
import { npmProgram } from './native/programs.mjs';
import { findings } from './native/secrets.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Bytes, with the prebuilds of all platforms. */
export const bounds = { packed: 7_000_000, unpacked: 20_000_000 };

const refused = [
  [/\.map$/, 'a source map'],
  [/(^|\/)(tests?|__tests__|fixtures)\//, 'a test'],
  [/\.(test|spec)\.[cm]?[jt]s$/, 'a test'],
  [/(?<!\.d)\.ts$/, 'a source of TypeScript'],
  [/(^|\/)\.env(\.(?!example$)|$)|\.(pem|key|p12)$/, 'a file of secrets'],
  [/\.tsbuildinfo$|\.log$|\.(whl|part)$/, 'left over from a build'],
  [/(^|\/)libmlx\./, 'MLX itself, which is brought by `stomp-serve setup mlx`'],
];
const required = [
  'package.json',
  'README.md',
  'LICENSE',
  'NOTICE',
  'binding.gyp',
  'CMakeLists.txt',
  'cpp/deps/fetch.mjs',
  'cpp/deps/pins.json',
  'cpp/deps/nodedir/include/node/common.gypi',
  'docs/deployment.md',
  'docs/deploy/stomp.toml',
  'docs/examples/model-onboarding.mjs',
  'scripts/install.mjs',
  'scripts/build-native.mjs',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/cli/main.js',
  'dist/ui/index.html',
];

/** @returns {{ filename: string, size: number, unpackedSize: number, files: { path: string }[] }} */
export function pack(...args) {
  const all = [npmProgram(), 'pack', '--json', '--ignore-scripts', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`stomp-serve: npm pack failed: ${stderr}`);
  return JSON.parse(stdout)[0];
}

/** Files of a platform without which the package would compile at install. */
function prebuildOf(platform) {
  const [os] = platform.split('-');
  const folder = `prebuilds/${platform}`;
  return os === 'linux'
    ? [`${folder}/stomp-serve.glibc.node`, `${folder}/mlx/libstomp_mlx.so`]
    : [`${folder}/stomp-serve.node`, `${folder}/mlx/libstomp_mlx.dylib`];
}

/**
 * @param {{ size: number, unpackedSize: number, files: { path: string }[] }} packed
 * @param {string[]} needed paths that must be there
 * @returns {string[]} one line for each problem
 */
export function problemsOf({ size, unpackedSize, files }, needed) {
  const paths = files.map(({ path }) => path);
  const there = new Set(paths);
  return [
    ...(size > bounds.packed ? [`it has ${size} bytes packed, more than ${bounds.packed}`] : []),
    ...(unpackedSize > bounds.unpacked
      ? [`it has ${unpackedSize} bytes unpacked, more than ${bounds.unpacked}`]
      : []),
    ...paths.flatMap((path) => {
      const why = refused.find(([pattern]) => pattern.test(path))?.[1];
      return why ? [`${path} is ${why}`] : [];
    }),
    ...needed.filter((path) => !there.has(path)).map((path) => `${path} is missing`),
  ];
}

/**
 * Links of the packed pages to what stays behind: whoever has installed the package has nothing else.
 * @param {import('./docs/markdown.mjs').Page[]} pages
 * @param {string[]} paths all that is packed
 * @returns {string[]} one line for each
 */
export function linksOutside(pages, paths) {
  const isThere = (to) => paths.some((path) => path === to || path.startsWith(`${to.replace(/\/$/, '')}/`));
  return pages.flatMap(({ path, links }) =>
    links
      .map(({ target, line }) => ({ target, line, to: target.split('#')[0] }))
      .filter(({ target, to }) => to !== '' && !/^[a-z][a-z0-9+.-]*:/i.test(target))
      .filter(({ to }) => !isThere(posix.join(posix.dirname(path), decodeURI(to))))
      .map(({ target, line }) => `${path}:${line}: the link ${target} leads to what is not packed`),
  );
}

function packedPages(paths) {
  const pages = paths.filter((path) => path.endsWith('.md'));
  return pages.map((path) => readPage(path, readFileSync(join(root, path), 'utf8')));
}

/** Credentials in what is packed; prebuilds and scripts are as large as they are. */
function secretsIn(files) {
  return files
    .flatMap(({ path }) => findings(path, readFileSync(join(root, path))))
    .filter((line) => line.includes('looks like'));
}

function main(args) {
  if (!existsSync(join(root, 'dist')))
    throw new Error('stomp-serve: dist is missing: run npm run build:ts first');
  const packed = pack('--dry-run');
  const prebuilds = args.includes('--publish') ? enginePlatforms.flatMap(prebuildOf) : [];
  const paths = packed.files.map(({ path }) => path);
  const problems = [
    ...problemsOf(packed, [...required, ...prebuilds]),
    ...linksOutside(packedPages(paths), paths),
    ...secretsIn(packed.files),
  ];
  for (const problem of problems) console.error(`stomp-serve: ${problem}`);
  if (problems.some((line) => /prebuilds.*missing/.test(line))) {
    console.error(
      'stomp-serve: nothing is published without prebuilds: npm run prebuild, on or for each platform',
    );
  }
  console.log(
    `${packed.files.length} files, ${packed.size} bytes packed, ${packed.unpackedSize} unpacked, ${problems.length} problems`,
  );
  return problems.length === 0;
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = main(process.argv.slice(2)) ? 0 : 1;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
