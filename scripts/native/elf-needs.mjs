/** What a Linux library asks of the system it runs on, read with binutils' readelf. */
import { spawnSync } from 'node:child_process';
import { atLeast } from './platform.mjs';

/**
 * @param {string} readelf the command
 * @param {string} file an ELF library
 * @returns {Record<string, string>} the latest version of each family of versioned symbols that the file
 * needs, such as `{ GLIBC: '2.34', GCC: '3.0' }`, and under `libraries` what it names, in order
 * @throws Error when readelf cannot read it
 */
export function systemNeeds(readelf, file) {
  const { status, stdout, stderr } = spawnSync(readelf, ['--wide', '-d', '-V', file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`stomp-serve: ${readelf} cannot read ${file}: ${stderr ?? ''}`.trim());
  return parseNeeds(stdout);
}

/** @param {string} text what `readelf -d -V` prints */
export function parseNeeds(text) {
  const needs = {};
  for (const [, family, version] of text.matchAll(/Name: (GLIBC|GLIBCXX|CXXABI|GCC)_([\d.]+)/g)) {
    if (!needs[family] || atLeast(version, needs[family])) needs[family] = version;
  }
  const libraries = [...text.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => name);
  return { ...needs, libraries: libraries.join(' ') };
}
