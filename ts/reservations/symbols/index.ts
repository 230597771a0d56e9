/** All symbols of one state of a repository. */
import { checkInteger } from '../../arguments.js';
import { cancelled } from '../git/git.js';
import type { Warning } from '../types.js';
import { type CacheEntry, SymbolCache } from './cache.js';
import { decode, encode } from './coding.js';
import { type Content, fileLevel, isLasting } from './extract.js';
import { languageNamed, languageOf } from './languages.js';
import { ParseThreads } from './parse-threads.js';
import type { ParseTask } from './parse-worker.js';
import { passedOver, readFile } from './read-file.js';
import type { SourceFile, SourceTree } from './source.js';
import type { FileSymbols } from './symbols.js';

export interface IndexOptions {
  /** What to read; it may make use of the cache itself. */
  readonly tree: SourceTree | ((cache: SymbolCache) => SourceTree);
  /** SQLite file that remembers what was read; nothing is remembered without it. */
  readonly cachePath?: string | undefined;
  /** Of files that had to be read. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Threads to read on, 1 to 16; 2 by default. */
  readonly threads?: number | undefined;
}

// Enough for a thread to be worth asking, and little enough to be told of progress.
const filesPerTask = 32;
const bytesPerTask = 512 * 1024;
// Less than starting a thread costs.
const bytesWithoutThreads = 64 * 1024;

const changedMeanwhile = 'It was changed or removed while it was read.';

export class SymbolIndex {
  /** In order of their paths. */
  readonly files: readonly FileSymbols[];
  /** Source files that are known as a whole only, or in part. */
  readonly warnings: readonly Warning[];
  readonly #byPath: ReadonlyMap<string, FileSymbols>;

  private constructor(files: readonly FileSymbols[], warnings: readonly Warning[]) {
    this.files = files;
    this.warnings = [...warnings, ...files.flatMap(warningsOf)];
    this.#byPath = new Map(files.map((file) => [file.path, file]));
  }

  /** @throws StompError CANCELLED, GIT_FAILED, INVALID_REQUEST */
  static async open(options: IndexOptions): Promise<SymbolIndex> {
    const threads = checkInteger('threads', options.threads, 2, { min: 1, max: 16 });
    const cache = new SymbolCache(options.cachePath ?? ':memory:');
    try {
      const tree = typeof options.tree === 'function' ? options.tree(cache) : options.tree;
      const sources = await tree.files(options.signal);
      const files = await new Reading(tree, cache, { ...options, threads }).run(sources);
      const own = cache.problem === undefined ? [] : [{ subject: 'cache', reason: cache.problem }];
      return new SymbolIndex(files, [...own, ...(tree.warnings ?? [])]);
    } finally {
      cache.close();
    }
  }

  file(path: string): FileSymbols | undefined {
    return this.#byPath.get(path);
  }
}

function warningsOf({ path, language, problem, gap }: FileSymbols): Warning[] {
  const reason = problem ?? gap;
  // Pictures and texts are no news.
  return reason === undefined || language === undefined ? [] : [{ subject: path, reason }];
}

class Reading {
  readonly #tree: SourceTree;
  readonly #cache: SymbolCache;
  readonly #options: IndexOptions & { readonly threads: number };
  readonly #contents = new Map<string, Content>();
  #done = 0;

  constructor(tree: SourceTree, cache: SymbolCache, options: IndexOptions & { threads: number }) {
    this.#tree = tree;
    this.#cache = cache;
    this.#options = options;
  }

  async run(sources: readonly SourceFile[]): Promise<FileSymbols[]> {
    const readable = sources.filter(({ path, bytes }) => passedOver(path, bytes) === undefined);
    this.#recall(readable);
    // The same content under several names is read once.
    const missing = new Map(
      readable.flatMap((file) => (this.#contents.has(keyOf(file)) ? [] : [[keyOf(file), file] as const])),
    );
    await this.#readAll([...missing.values()]);
    return sources.map((file) => this.#fileSymbols(file));
  }

  #recall(files: readonly SourceFile[]): void {
    for (const [key, data] of this.#cache.contents(files.map(keyOf))) {
      const content = decoded(data);
      if (content) this.#contents.set(key, content);
    }
  }

  async #readAll(files: readonly SourceFile[]): Promise<void> {
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    if (bytes <= bytesWithoutThreads) {
      for (const file of files) await this.#readTogether([file], files.length, readHere);
      return;
    }
    const threads = new ParseThreads(this.#options.threads, this.#options.signal);
    try {
      const tasks = split(files);
      const next = tasks[Symbol.iterator]();
      const read = (batch: readonly ParseTask[]) => threads.read(batch);
      // One more than there are threads, so that they need not wait for the disk.
      const feeders = Array.from({ length: this.#options.threads + 1 }, async () => {
        for (const task of next) await this.#readTogether(task, files.length, read);
      });
      await settled(feeders);
    } finally {
      await threads.close();
    }
  }

  async #readTogether(
    files: readonly SourceFile[],
    total: number,
    read: (tasks: readonly ParseTask[]) => Promise<Content[]>,
  ): Promise<void> {
    const { signal, onProgress } = this.#options;
    if (signal?.aborted) throw cancelled(signal);
    const loaded = (await Promise.all(files.map((file) => this.#load(file)))).filter(
      (one) => one !== undefined,
    );
    const contents = await read(loaded.map(({ task }) => task));
    const entries: CacheEntry[] = [];
    for (const [i, content] of contents.entries()) {
      const file = loaded[i]?.file;
      if (file === undefined) continue;
      this.#contents.set(keyOf(file), content);
      if (isLasting(content)) entries.push({ key: keyOf(file), data: encode(content) });
    }
    this.#cache.keep(entries);
    this.#done += files.length;
    onProgress?.(this.#done, total);
  }

  async #load(file: SourceFile): Promise<{ file: SourceFile; task: ParseTask } | undefined> {
    const bytes = await this.#tree.read(file);
    if (bytes === undefined) return undefined;
    // Views of a larger buffer would take it along to the other thread.
    return { file, task: { path: file.path, bytes: new Uint8Array(bytes) } };
  }

  #fileSymbols(file: SourceFile): FileSymbols {
    const { path, contentId, bytes } = file;
    const content = passedOver(path, bytes) ?? this.#contents.get(keyOf(file));
    return { path, contentId, ...(content ?? fileLevel(languageOf(path)?.name, changedMeanwhile)) };
  }
}

async function readHere(tasks: readonly ParseTask[]): Promise<Content[]> {
  return Promise.all(tasks.map(({ path, bytes }) => readFile(path, bytes)));
}

/** Waits for all of them, so that nothing goes on behind a failure. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

function* split(files: readonly SourceFile[]): Generator<SourceFile[]> {
  let part: SourceFile[] = [];
  let bytes = 0;
  for (const file of files) {
    part.push(file);
    bytes += file.bytes;
    if (part.length < filesPerTask && bytes < bytesPerTask) continue;
    yield part;
    part = [];
    bytes = 0;
  }
  if (part.length > 0) yield part;
}

function keyOf({ path, contentId }: SourceFile): string {
  const language = languageOf(path);
  return `${contentId} ${language?.name} ${language?.version}`;
}

/** @returns undefined for what nobody can read, or another language would read now. */
function decoded(data: string): Content | undefined {
  try {
    const content = decode(data);
    return languageNamed(content.language ?? '') === undefined ? undefined : content;
  } catch {
    // It is read anew, and overwritten.
    return undefined;
  }
}
