/**
 * Brings MLX for the executor that the package comes with: the pinned wheel, its libraries and notices, beside the
 * executor's library. Main thread only; safe between processes: the result appears by one rename.
 */
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { StompError, toStompError } from '../errors.js';
import {
  findMlxLibrary,
  type MlxHome,
  mlxFolders,
  mlxLibraryName,
  shippedMlx,
  thisHome,
} from '../mlx-home.js';
import { abortError } from './generation.js';
import { reasonOf } from './models/download.js';
import { hashFile } from './models/part-file.js';
import { type BringOptions, bringWheel, type WheelFile } from './models/wheel-archive.js';
import { zipMember, zipNames } from './models/zip-member.js';

export interface MlxSetupOptions extends BringOptions {
  /** Path of the pinned wheel, if it is on this machine already. */
  wheelFile?: string | undefined;
  home?: MlxHome | undefined;
  /** @default the one that `cpp/deps/pins.json` has for this machine */
  wheel?: WheelFile | undefined;
}

export interface MlxSetup {
  /** Path of the executor's library. */
  library: string;
  /** False: it was there before. */
  brought: boolean;
}

/** More than any member of a wheel of MLX has. */
const maxMemberBytes = 1 << 30;

/** @throws StompError EXECUTOR_UNAVAILABLE, CANCELLED */
export async function setUpMlx(options: MlxSetupOptions): Promise<MlxSetup> {
  const home = options.home ?? thisHome;
  const there = findMlxLibrary(home);
  if (there !== undefined) return { library: there, brought: false };
  const shipped = shippedMlx(home);
  if (shipped === undefined) throw notShipped(home);
  const wheel = options.wheel ?? (await pinnedWheel(home));
  const target = await writableFolder(mlxFolders(home));
  try {
    await bringMlx(shipped, wheel, target, options);
  } catch (error) {
    if (options.signal?.aborted) throw abortError(options.signal);
    // Another process was quicker, and has cleared the archive away.
    if (findMlxLibrary(home) === undefined) throw failure(wheel, error);
  }
  return { library: join(target, mlxLibraryName(home)), brought: true };
}

/** What is downloaded is cleared away when it is unpacked; a wheel of the caller's stays. */
async function bringMlx(
  shipped: string,
  wheel: WheelFile,
  target: string,
  options: MlxSetupOptions,
): Promise<void> {
  const { wheelFile, signal } = options;
  if (wheelFile !== undefined) {
    await requireDigest(resolve(wheelFile), wheel);
    return putTogether(shipped, resolve(wheelFile), target, signal);
  }
  const archive = `${target}.whl`;
  await bringWheel(wheel, archive, options);
  try {
    await putTogether(shipped, archive, target, signal);
  } catch (error) {
    // What is good to be unpacked once there is room, or time, is not brought twice; what cannot be unpacked is.
    if (!signal?.aborted && !isFull(error)) await rm(archive, { force: true });
    throw error;
  }
  await rm(archive, { force: true });
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** What `setUpMlx` would download here; undefined when there is nothing to set up, or it cannot be. */
export async function mlxDownload(home: MlxHome = thisHome): Promise<WheelFile | undefined> {
  if (findMlxLibrary(home) !== undefined || shippedMlx(home) === undefined) return undefined;
  return pinnedWheel(home).catch(() => undefined);
}

/** The build's own choice, so that there is one list of wheels and one way to choose. */
async function pinnedWheel(home: MlxHome): Promise<WheelFile> {
  const script = pathToFileURL(join(home.packageRoot, 'cpp', 'deps', 'fetch.mjs')).href;
  const { pins, wheelForThisMachine } = (await import(script)) as {
    pins: { mlx: { version: string } };
    wheelForThisMachine: () => { package: string; tag: string; bytes: number; sha256: string };
  };
  try {
    const { package: name, tag, bytes, sha256 } = wheelForThisMachine();
    const { version } = pins.mlx;
    const file = `${name.replaceAll('-', '_')}-${version}-py3-none-${tag}.whl`;
    return { package: name, version, file, bytes, sha256 };
  } catch (cause) {
    throw unavailable(`MLX cannot be set up here: ${reasonOf(cause)}. Choose executor 'cpu'.`, cause);
  }
}

/** The first folder beside which files can be made. */
async function writableFolder(folders: readonly string[]): Promise<string> {
  let refused: unknown;
  for (const folder of folders) {
    try {
      await mkdir(dirname(folder), { recursive: true });
      await rm(await mkdtemp(`${folder}.`), { recursive: true });
      return folder;
    } catch (error) {
      refused = error;
    }
  }
  throw unavailable(
    `MLX cannot be set up: neither ${folders.join(' nor ')} can be written (${reasonOf(refused)}). ` +
      'Choose a cache folder with XDG_CACHE_HOME.',
    refused,
  );
}

async function requireDigest(archive: string, wheel: WheelFile): Promise<void> {
  const actual = await hashFile(archive, createHash('sha256'));
  if (actual === wheel.sha256) return;
  throw new Error(`${archive} has SHA-256 ${actual}, but ${wheel.file} has ${wheel.sha256}`);
}

async function putTogether(
  shipped: string,
  archive: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const staging = await mkdtemp(`${target}.`);
  try {
    await cp(shipped, staging, { recursive: true });
    for (const name of await zipNames(archive)) {
      const path = placeOf(name);
      if (path === undefined) continue;
      signal?.throwIfAborted();
      await mkdir(dirname(join(staging, path)), { recursive: true });
      await pipeline(zipMember(archive, name, maxMemberBytes), createWriteStream(join(staging, path)));
    }
    await publish(staging, target);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Where a member of the wheel belongs, in the layout that the libraries look for each other in; undefined: nowhere. */
function placeOf(name: string): string | undefined {
  if (name.split('/').includes('..')) return undefined;
  if (/^mlx\/lib\/[^/]+\.(so|dylib|metallib)$/.test(name) || /^\w+\.libs\/[^/]+$/.test(name)) return name;
  const notice = /^[^/]+\.dist-info\/((?:licenses|sboms)\/.*[^/])$/.exec(name)?.[1];
  return notice === undefined ? undefined : `notices/mlx/${notice}`;
}

async function publish(staging: string, target: string): Promise<void> {
  try {
    await rename(staging, target);
  } catch (error) {
    // Another process was quicker: what it has put there has the same name, and so the same content.
    if (!existsSync(target)) throw error;
  }
}

function notShipped(home: MlxHome): StompError {
  return unavailable(
    `This package brings no MLX executor for ${home.platform}-${home.arch}. Where there is an engine it can be ` +
      'built (`npm rebuild stomp-serve --build-from-source`, with python3, pip and cargo at hand); ' +
      "else choose executor 'cpu'.",
  );
}

function failure(wheel: WheelFile, error: unknown): StompError {
  const known = error instanceof StompError ? toStompError(error) : undefined;
  const reason = String(known?.fields['reason'] ?? reasonOf(error));
  return unavailable(
    `MLX was not set up: ${wheel.file} could not be brought: ${reason}. Check the connection and try again (what has ` +
      'arrived is kept), set STOMP_PACKAGE_INDEX to the address of a Python package index, or name the wheel if it ' +
      'is on this machine: stomp-serve setup mlx FILE.',
    error,
  );
}

function unavailable(message: string, cause?: unknown): StompError {
  return new StompError('EXECUTOR_UNAVAILABLE', message, { cause, fields: { field: 'executor' } });
}
