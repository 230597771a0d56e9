/** Brings a model from a model hub, by its id. Main thread only; safe between processes. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StompError } from '../../errors.js';
import { abortError } from '../generation.js';
import { download, type FileSource, FinalError, rangeStart, reasonOf } from './download.js';
import { type Digest, fileSize } from './part-file.js';
import type { BringOptions } from './wheel-archive.js';

/** `owner/name`, or `owner/name/file.gguf` where a repository holds several. */
export interface HubId {
  repo: string;
  file: string | undefined;
}

export interface HubOptions extends BringOptions {
  /** Address of the hub; undefined: the library's own. */
  hubUrl: string | undefined;
  accessToken: string | undefined;
}

interface HubFile {
  path: string;
  bytes: number;
  digest: Digest;
}

/** Left beside the files when all of them are there. */
const manifestName = '.stomp-model.json';

interface Manifest {
  repo: string;
  revision: string;
  files: { path: string; bytes: number }[];
}

/** @returns undefined when `model` has not the form of a hub id. */
export function parseHubId(model: string): HubId | undefined {
  const match = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:\/([\w.-]+\.gguf))?$/.exec(model);
  return match ? { repo: match[1] ?? '', file: match[2] } : undefined;
}

/**
 * @param folder where hub models are kept.
 * @returns the path of the model's folder, or of its .gguf file.
 * @throws StompError MODEL_NOT_FOUND, MODEL_DOWNLOAD, MODEL_UNSUPPORTED, CANCELLED
 */
export async function bringHubModel(id: HubId, folder: string, options: HubOptions): Promise<string> {
  const home = join(folder, id.repo.replace('/', '--'));
  const manifest = join(home, id.file === undefined ? manifestName : `.${id.file}.json`);
  const kept = await readManifest(manifest, home);
  if (kept) return modelPath(home, kept.files);
  try {
    const { revision, files } = await chooseFiles(id, options);
    for (const file of files) await bringFile(id.repo, revision, file, home, options);
    await writeManifest(manifest, {
      repo: id.repo,
      revision,
      files: files.map(({ path, bytes }) => ({ path, bytes })),
    });
    return modelPath(home, files);
  } catch (error) {
    if (options.signal?.aborted) throw abortError(options.signal);
    throw error instanceof StompError ? error : hubFailure(id.repo, error);
  }
}

async function chooseFiles(id: HubId, options: HubOptions): Promise<{ revision: string; files: HubFile[] }> {
  const hub = await import('@huggingface/hub');
  const access = accessOf(options);
  const { sha } = await hub.modelInfo({ name: id.repo, additionalFields: ['sha'], ...access });
  const all: HubFile[] = [];
  for await (const entry of hub.listFiles({ repo: id.repo, revision: sha, ...access })) {
    if (entry.type !== 'file' || !/^[\w.-]+$/.test(entry.path)) continue;
    const digest: Digest = entry.lfs
      ? { algorithm: 'sha256', hex: entry.lfs.oid }
      : { algorithm: 'sha1', hex: entry.oid ?? '', prefix: `blob ${entry.size}\0` };
    all.push({ path: entry.path, bytes: entry.size, digest });
  }
  return {
    revision: sha,
    files: id.file === undefined ? neededFiles(id.repo, all) : oneFile(id.repo, id.file, all),
  };
}

function oneFile(repo: string, name: string, all: readonly HubFile[]): HubFile[] {
  const file = all.find((one) => one.path === name);
  if (file) return [file];
  throw new StompError(
    'MODEL_NOT_FOUND',
    `${repo} has no ${name}. It has: ${ggufNames(all).join(', ') || 'no .gguf file'}.`,
    {
      fields: { model: `${repo}/${name}`, files: ggufNames(all) },
    },
  );
}

/** Weights in safetensors with all that describes them, or the one .gguf file. */
function neededFiles(repo: string, all: readonly HubFile[]): HubFile[] {
  const weights = all.filter((file) => file.path.endsWith('.safetensors'));
  if (weights.length > 0 && all.some((file) => file.path === 'config.json')) {
    // Some repositories hold the weights a second time, under other names.
    const named = weights.filter((file) => file.path.startsWith('model'));
    return [
      ...all.filter((file) => /\.(json|jinja)$/.test(file.path)),
      ...(named.length > 0 ? named : weights),
    ];
  }
  const names = ggufNames(all);
  if (names.length === 1) return all.filter((file) => file.path === names[0]);
  if (names.length === 0) {
    throw new StompError(
      'MODEL_UNSUPPORTED',
      `${repo} holds neither safetensors with a config.json nor a .gguf file.`,
      {
        fields: { model: repo },
      },
    );
  }
  throw new StompError(
    'MODEL_NOT_FOUND',
    `${repo} holds several models. Choose one: ${names.map((name) => `${repo}/${name}`).join(', ')}.`,
    { fields: { model: repo, files: names } },
  );
}

function ggufNames(all: readonly HubFile[]): string[] {
  return all.map((file) => file.path).filter((path) => path.endsWith('.gguf'));
}

async function bringFile(
  repo: string,
  revision: string,
  file: HubFile,
  home: string,
  options: HubOptions,
): Promise<void> {
  await download(hubSource(repo, revision, file, options), join(home, file.path), {
    onBytes: (doneBytes) =>
      options.onProgress({ phase: 'download', file: file.path, doneBytes, totalBytes: file.bytes }),
    signal: options.signal,
    retryDelayMs: options.retryDelayMs,
  });
}

function hubSource(repo: string, revision: string, file: HubFile, options: HubOptions): FileSource {
  let ranges = true;
  const noRanges = () => {
    ranges = false;
  };
  return {
    name: `${repo}/${file.path}`,
    bytes: file.bytes,
    digest: file.digest,
    async open(wanted) {
      const from = ranges ? wanted : 0;
      const hub = await import('@huggingface/hub');
      const access = { ...accessOf(options), fetch: rangedFetch(options.signal, noRanges) };
      const blob = await hub.downloadFile({ repo, path: file.path, revision, ...access }).catch(asFinal);
      if (!blob) throw new FinalError('the hub has no such file');
      if (blob.size !== file.bytes)
        throw new FinalError(`the hub sends ${blob.size} bytes, not ${file.bytes}`);
      return { from, body: blob.slice(from, file.bytes).stream() as unknown as AsyncIterable<Uint8Array> };
    },
  };
}

/** A `fetch` that can be aborted, and that does not take a whole file for a part of it. */
function rangedFetch(signal: AbortSignal | undefined, noRanges: () => void): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, { ...init, signal: signal ?? null });
    const wanted = /^bytes=(\d+)-/.exec(new Headers(init?.headers).get('range') ?? '')?.[1] ?? '0';
    if (response.ok && rangeStart(response) !== Number(wanted)) {
      await response.body?.cancel();
      noRanges();
      throw new Error('the server cannot go on where a download was cut off');
    }
    return response;
  };
}

function accessOf(options: HubOptions) {
  const { hubUrl, accessToken, signal } = options;
  return {
    ...(hubUrl === undefined ? {} : { hubUrl: hubUrl.replace(/\/+$/, '') }),
    ...(accessToken === undefined ? {} : { accessToken }),
    fetch: ((input, init) =>
      fetch(input, { ...init, signal: signal ?? null })) satisfies typeof fetch as typeof fetch,
  };
}

function asFinal(error: unknown): never {
  const status = (error as { statusCode?: unknown }).statusCode;
  if (typeof status === 'number' && status < 500 && status !== 429) throw new FinalError(reasonOf(error));
  throw error;
}

function modelPath(home: string, files: readonly { path: string }[]): string {
  const gguf = files.find((file) => file.path.endsWith('.gguf'));
  return gguf ? join(home, gguf.path) : home;
}

async function readManifest(path: string, home: string): Promise<Manifest | undefined> {
  if ((await fileSize(path)) === undefined) return undefined;
  let manifest: Manifest;
  try {
    manifest = JSON.parse(await readFile(path, 'utf8')) as Manifest;
    for (const file of manifest.files) {
      if ((await fileSize(join(home, file.path))) !== file.bytes) return undefined;
    }
  } catch {
    // A damaged manifest is as good as none: the hub is asked again.
    return undefined;
  }
  return manifest;
}

async function writeManifest(path: string, manifest: Manifest): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(temporary, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(temporary, path);
}

function hubFailure(repo: string, error: unknown): StompError {
  const status = (error as { statusCode?: unknown }).statusCode;
  const missing = status === 404 || status === 401;
  const advice = missing
    ? 'Check the id; a gated or private model also needs HF_TOKEN.'
    : 'Check the connection and try again, or give the path of a model that is on this machine.';
  return new StompError(
    missing ? 'MODEL_NOT_FOUND' : 'MODEL_DOWNLOAD',
    `${repo} could not be had from the model hub: ${reasonOf(error)}. ${advice}`,
    { cause: error, fields: { model: repo } },
  );
}
