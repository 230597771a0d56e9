/** Records as files of a repository, which every process of its machine sees, and every worktree of its clone. */
import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StompError } from '../../errors.js';
import { canonicalPath } from '../../paths.js';
import type { Amendment, Intent, Reservation } from '../types.js';
import {
  kindOfFolder,
  makeFolders,
  moveFile,
  namesIn,
  readText,
  removeStaged,
  writeNew,
} from './folder-files.js';
import {
  idOf,
  kindOfAmendment,
  maxRecordBytes,
  type RecordKind,
  recordKinds,
  type StoredRecord,
} from './records.js';
import type { RecordStore, Records } from './store.js';
import { patiently, takeFileLock } from './store-lock.js';
import { endedRecords, RecordList, textToWrite } from './stored.js';

/** How to wait. */
export interface FolderStoreOptions {
  /** For whoever is alone with the store. @default 30000 */
  readonly patienceMs?: number;
  /** How often to look for changes where the system tells of none. @default 500 */
  readonly pollMs?: number;
}

const place = ['.muse', 'coordination'];
const suffix = '.json';
const filesAtOnce = 32;
// A writer that is still at work after so long is none.
const stagedForMs = 3600_000;

export class FolderStore implements RecordStore {
  readonly #root: string;
  readonly #patienceMs: number;
  readonly #pollMs: number;

  private constructor(root: string, { patienceMs = 30_000, pollMs = 500 }: FolderStoreOptions) {
    this.#root = root;
    this.#patienceMs = patienceMs;
    this.#pollMs = pollMs;
  }

  /**
   * Makes nothing until something is written.
   * @param root of the repository
   * @throws StompError NOT_FOUND, PATH_DENIED, INVALID_REQUEST
   */
  static async open(root: string, options: FolderStoreOptions = {}): Promise<FolderStore> {
    const canonical = await canonicalPath(root);
    if ((await kindOfFolder(canonical)) !== 'folder') {
      throw new StompError('NOT_FOUND', `There is no folder ${root}.`, { fields: { file: root } });
    }
    return new FolderStore(canonical, options);
  }

  async read(): Promise<Records> {
    const list = new RecordList();
    if (!(await this.#isUsable(list))) return list;
    for (const kind of recordKinds) await this.#readKind(kind, list);
    return list;
  }

  addReservation(record: Reservation): Promise<void> {
    return this.#add({ kind: 'reservations', record });
  }

  addIntent(record: Intent): Promise<void> {
    return this.#add({ kind: 'intents', record });
  }

  addAmendment(record: Amendment): Promise<void> {
    return this.#add({ kind: kindOfAmendment(record), record });
  }

  async alone<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    await this.#prepare();
    const file = this.#path('lock.db');
    const giveBack = await patiently(file, () => takeFileLock(file), this.#patienceMs, signal);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }

  async archive(endedBefore: Date): Promise<number> {
    const ended = endedRecords(await this.read(), endedBefore);
    for (const { kind, id } of ended) {
      await makeFolders(this.#root, [...place, 'archive', kind]);
      await makeFolders(this.#root, [...place, kind]);
      await moveFile(this.#path(kind, id + suffix), this.#path('archive', kind, id + suffix));
    }
    for (const kind of recordKinds) {
      if ((await kindOfFolder(this.#path(kind))) !== 'folder') continue;
      await removeStaged(this.#path(kind), new Date(Date.now() - stagedForMs));
    }
    return ended.length;
  }

  async changed(signal?: AbortSignal): Promise<void> {
    const end = new AbortController();
    const until = AbortSignal.any(signal ? [signal, end.signal] : [end.signal]);
    // Also the folder in which a first record of a kind makes another.
    const watchers = ['.', ...recordKinds].flatMap((name) => this.#watch(name, () => end.abort()));
    try {
      await sleep(this.#pollMs, undefined, { signal: until }).catch(() => undefined);
    } finally {
      for (const watcher of watchers) watcher.close();
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #path(...parts: string[]): string {
    return join(this.#root, ...place, ...parts);
  }

  async #add(stored: StoredRecord): Promise<void> {
    const text = textToWrite(stored);
    await this.#prepare();
    await makeFolders(this.#root, [...place, stored.kind]);
    await writeNew(this.#path(stored.kind), idOf(stored) + suffix, text);
  }

  /** Git is told to leave alone what is made here; where others have made the folder, they have decided on that. */
  async #prepare(): Promise<void> {
    if (!(await makeFolders(this.#root, place))) return;
    await writeNew(this.#path(), '.gitignore', '*\n');
  }

  /** Whether the way there leads through folders only. */
  async #isUsable(list: RecordList): Promise<boolean> {
    for (let n = 1; n <= place.length; n++) {
      const parts = place.slice(0, n);
      const found = await kindOfFolder(join(this.#root, ...parts));
      if (found === 'other') list.warn(parts.join('/'), 'is a link or no folder: nothing is read there');
      if (found !== 'folder') return false;
    }
    return true;
  }

  async #readKind(kind: RecordKind, list: RecordList): Promise<void> {
    const subject = [...place, kind].join('/');
    const found = await kindOfFolder(this.#path(kind));
    if (found === 'other') list.warn(subject, 'is a link or no folder: nothing is read there');
    if (found !== 'folder') return;
    const names = (await namesIn(this.#path(kind))).filter((name) => name.endsWith(suffix));
    for (let at = 0; at < names.length; at += filesAtOnce) {
      const some = names.slice(at, at + filesAtOnce);
      const texts = await Promise.all(some.map((name) => readText(this.#path(kind, name), maxRecordBytes)));
      some.forEach((name, i) => {
        const read = texts[i];
        if (read && 'reason' in read) list.warn(`${subject}/${name}`, read.reason);
        else if (read) list.add({ kind, id: name.slice(0, -suffix.length) }, read.text, `${subject}/${name}`);
      });
    }
  }

  /** None where there is no folder yet, or the system has no more to give: then it is looked at now and then. */
  #watch(name: string, call: () => void): FSWatcher[] {
    try {
      const watcher = watch(this.#path(name), { persistent: false }, call);
      watcher.on('error', call);
      return [watcher];
    } catch {
      return [];
    }
  }
}
