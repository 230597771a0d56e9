/**
 * What the package contains, or brings at set-up, that is no npm package: for the bill of materials and for the check
 * of licences. `NOTICE` says the same to people.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pins } from '../../cpp/deps/fetch.mjs';

const require = createRequire(import.meta.url);
const executor = 'libstomp_mlx, opened on demand';
const besideMlx = 'a shared library in the Linux wheel of MLX, brought by `stomp-serve setup mlx`';

/** Parts of GCC that programs made with it may contain or bring, whatever their own licence: GCC Runtime Library Exception. */
export const recordedExceptions = new Map([
  ['libstdc++', 'GPL-3.0-or-later WITH GCC-exception-3.1'],
  ['libgfortran', 'GPL-3.0-or-later WITH GCC-exception-3.1'],
  ['libquadmath', 'LGPL-2.1-or-later'],
]);

function versionOf(name) {
  return JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8')).version;
}

/** The amalgamation that better-sqlite3 compiles says which it is. */
function sqliteVersion() {
  const folder = join(dirname(require.resolve('better-sqlite3/package.json')), 'deps', 'sqlite3');
  const version = /#define SQLITE_VERSION +"([\d.]+)"/.exec(
    readFileSync(join(folder, 'sqlite3.h'), 'utf8'),
  )?.[1];
  if (!version) throw new Error(`stomp-serve: ${folder} does not say which SQLite it has`);
  return version;
}

/**
 * `where` says which file has it; `sha256` is that of the archive it comes from.
 * @typedef {{ name: string, version: string, license: string, purl: string, where: string, sha256?: string }} NativePart
 */

/** @returns {NativePart[]} */
export function nativeParts() {
  const { mlx, mlxC } = pins;
  const crate = `pkg:cargo/${mlxC.crate}@${mlxC.version}`;
  const gcc = { version: '12.3.0', where: besideMlx };
  const netlib = { version: '3.10.0', license: 'BSD-3-Clause', where: besideMlx };
  return [
    ...mlx.wheels.map(({ package: name, tag, sha256 }) => ({
      name: `${name} (${tag})`,
      version: mlx.version,
      license: 'MIT',
      purl: `pkg:pypi/${name}@${mlx.version}?file_name=${name.replaceAll('-', '_')}-${mlx.version}-py3-none-${tag}.whl`,
      where: 'brought by `stomp-serve setup mlx`, or when the MLX executor is built',
      sha256,
    })),
    {
      name: 'mlx-c',
      version: mlxC.version,
      license: 'MIT',
      purl: crate,
      where: executor,
      sha256: mlxC.sha256,
    },
    { name: 'BLAS', purl: 'pkg:deb/ubuntu/libblas3@3.10.0-2ubuntu1', ...netlib },
    { name: 'LAPACK', purl: 'pkg:deb/ubuntu/liblapack3@3.10.0-2ubuntu1', ...netlib },
    ...['libgfortran', 'libquadmath'].map((name) => ({
      name,
      license: recordedExceptions.get(name),
      purl: `pkg:generic/gcc/${name}@12.3.0`,
      ...gcc,
    })),
    {
      name: 'libstdc++',
      version: 'of the compiler',
      license: recordedExceptions.get('libstdc++'),
      purl: 'pkg:generic/gcc/libstdc%2B%2B',
      where: 'linked into the prebuilt addon for Linux',
    },
    {
      name: 'SQLite',
      version: sqliteVersion(),
      license: 'blessing',
      purl: `pkg:generic/sqlite@${sqliteVersion()}`,
      where: 'compiled into better-sqlite3',
    },
    {
      name: 'preact',
      version: versionOf('preact'),
      license: 'MIT',
      purl: `pkg:npm/preact@${versionOf('preact')}`,
      where: 'dist/ui',
    },
  ];
}
