/**
 * Which platforms have the engine, and what this one is. `STOMP_FORCE_PLATFORM` (for example
 * `linux-arm64`) stands in for the real one in tests, and names the other machine that is built for.
 */
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';

/** Platforms with the inference engine; elsewhere the package installs without it. */
export const enginePlatforms = ['linux-x64', 'linux-arm64', 'darwin-arm64'];

/** `<os>-<arch>`, as npm and prebuilds name it. */
export function platformName() {
  return process.env.STOMP_FORCE_PLATFORM || `${process.platform}-${process.arch}`;
}

export function hasEngine() {
  return enginePlatforms.includes(platformName());
}

/** The C library's version, for example `2.36`; undefined where there is no glibc. */
export function glibcVersion() {
  const header = process.report?.getReport().header;
  return header?.glibcVersionRuntime;
}

/**
 * Darwin's major version: 23 is macOS 14, 24 is macOS 15, 25 is macOS 26. Elsewhere, and where prebuilds are made, that of
 * the macOS that is compiled for.
 */
export function darwinMajor() {
  const target = Number.parseInt(process.env.MACOSX_DEPLOYMENT_TARGET ?? '', 10);
  if (process.env.STOMP_PORTABLE === '1' && target >= 11) return target >= 26 ? target - 1 : target + 9;
  return process.platform === 'darwin' ? Number.parseInt(release(), 10) : 24;
}

/** Whether dotted version `a` is at least `b`. */
export function atLeast(a, b) {
  const left = a.split('.').map(Number);
  const right = b.split('.').map(Number);
  const index = right.findIndex((part, i) => (left[i] ?? 0) !== part);
  return index < 0 || (left[index] ?? 0) > right[index];
}

/** Whether `command` can be run and exits with 0. */
export function runs(command, args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}
