/**
 * Brings one file from somewhere, whatever happens on the way: goes on where it was cut off, proves the result
 * against its digest, and puts it in place in one step. Main thread only.
 */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { StompError } from '../../errors.js';
import { abortError } from '../generation.js';
import { type Digest, fileSize, PartFile } from './part-file.js';

/** Where a file comes from. */
export interface FileSource {
  /** Name for messages and progress. */
  name: string;
  bytes: number;
  digest: Digest;
  /**
   * Opens the file from this offset on. A sender that cannot do that answers with `from: 0`.
   */
  open(
    from: number,
    signal: AbortSignal | undefined,
  ): Promise<{ from: number; body: AsyncIterable<Uint8Array> }>;
}

export interface DownloadOptions {
  onBytes?: ((doneBytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Wait before the second attempt; doubles with each one that brought nothing. @default 500 */
  retryDelayMs?: number | undefined;
}

/** Attempts that bring nothing before we give up. */
const maxIdleAttempts = 4;

/** A failure that another attempt would only repeat. */
export class FinalError extends Error {}

/**
 * Does nothing when the target is there in full size.
 * @throws StompError MODEL_DOWNLOAD, CANCELLED
 */
export async function download(
  source: FileSource,
  target: string,
  options: DownloadOptions = {},
): Promise<void> {
  if ((await fileSize(target)) === source.bytes) return;
  const part = await PartFile.claim(target).catch((error: unknown) => {
    throw diskFailure(target, error);
  });
  try {
    await complete(source, part, options);
    await part.commit();
  } catch (error) {
    await part.release().catch(() => {
      // The first error says more; what is left is taken over by the next attempt.
    });
    if (options.signal?.aborted) throw abortError(options.signal);
    throw error instanceof StompError ? error : diskFailure(target, error);
  }
}

/** Fills the part and proves it; what an earlier attempt left may be at fault, so it gets a second chance. */
async function complete(source: FileSource, part: PartFile, options: DownloadOptions): Promise<void> {
  const resumed = part.size > 0;
  await fill(source, part, options);
  if (await part.matches(source.digest)) return;
  await part.restart();
  if (!resumed) throw failure(source, 'its checksum is wrong');
  await complete(source, part, options);
}

async function fill(source: FileSource, part: PartFile, options: DownloadOptions): Promise<void> {
  if (part.size > source.bytes) await part.restart();
  let idle = 0;
  while (part.size < source.bytes) {
    const before = part.size;
    const error = await attempt(source, part, options);
    if (error === undefined) return;
    idle = part.size > before ? 0 : idle + 1;
    if (idle >= maxIdleAttempts) throw failure(source, reasonOf(error), error);
    await sleep((options.retryDelayMs ?? 500) * 2 ** idle, undefined, { signal: options.signal });
  }
}

/** @returns an error that another attempt may cure; throws every other one. */
async function attempt(source: FileSource, part: PartFile, options: DownloadOptions): Promise<unknown> {
  try {
    await receive(source, part, options);
    return undefined;
  } catch (error) {
    if (options.signal?.aborted || isDiskError(error)) throw error;
    if (error instanceof FinalError) throw failure(source, reasonOf(error), error);
    return error;
  }
}

async function receive(source: FileSource, part: PartFile, options: DownloadOptions): Promise<void> {
  const { from, body } = await source.open(part.size, options.signal);
  if (from !== part.size) {
    if (from !== 0) throw new FinalError(`the server sent byte ${from} for byte ${part.size}`);
    await part.restart();
  }
  for await (const chunk of body) {
    options.signal?.throwIfAborted();
    if (part.size + chunk.length > source.bytes) {
      await part.restart();
      throw new FinalError(`it is longer than ${source.bytes} bytes`);
    }
    await part.append(chunk);
    options.onBytes?.(part.size);
  }
  if (part.size < source.bytes) throw new Error(`it ended after ${part.size} of ${source.bytes} bytes`);
}

/** A file at an address. `headers` may hold credentials; they appear in no message. */
export function httpSource(
  file: Omit<FileSource, 'open'>,
  url: URL,
  headers: Record<string, string>,
): FileSource {
  return {
    ...file,
    async open(from, signal) {
      const range = from > 0 ? { range: `bytes=${from}-` } : {};
      const response = await fetch(url, {
        headers: { 'accept-encoding': 'identity', ...headers, ...range },
        signal: signal ?? null,
      });
      return { from: rangeStart(response), body: await bodyOf(url, response) };
    },
  };
}

async function bodyOf(url: URL, response: Response): Promise<AsyncIterable<Uint8Array>> {
  if (response.ok && response.body) return response.body;
  await response.body?.cancel();
  // The part is longer than the file there: begin again.
  if (response.status === 416) return Readable.from([]);
  const refused = `${url.host} answered ${response.status}`;
  throw response.status < 500 && response.status !== 429 ? new FinalError(refused) : new Error(refused);
}

/** Where the body of an answer begins in the file. */
export function rangeStart(response: Response): number {
  if (response.status !== 206) return 0;
  const start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  if (start === undefined) throw new FinalError('the server sent a part without saying which');
  return Number(start);
}

function isDiskError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return ['ENOSPC', 'EDQUOT', 'EACCES', 'EPERM', 'EROFS', 'EIO', 'ENOTDIR'].includes(code ?? '');
}

function failure(source: FileSource, reason: string, cause?: unknown): StompError {
  return new StompError(
    'MODEL_DOWNLOAD',
    `${source.name} could not be downloaded: ${reason}. Try again (what has arrived is kept), or give the path ` +
      'of a model that is on this machine.',
    { cause, fields: { file: source.name, reason } },
  );
}

function diskFailure(path: string, error: unknown): StompError {
  return new StompError(
    'MODEL_DOWNLOAD',
    `${path} could not be written: ${reasonOf(error)}. Free some space, or choose another folder with ` +
      'STOMP_MODEL_DIR.',
    { cause: error, fields: { path, reason: reasonOf(error) } },
  );
}

/** What went wrong, with what lay below it; `fetch` tells nothing without its cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}
