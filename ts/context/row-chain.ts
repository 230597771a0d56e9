/** The rows of a log in their order, each checked against the hash of the one before. */
import { setImmediate as breath } from 'node:timers/promises';
import { chainedHash } from '../storage/log-text.js';
import type { Storage } from '../storage/storage.js';
import type { Entry } from './entry.js';
import { formatLine } from './line.js';
import { entriesFrom, type Head, mostAtOnce } from './log-rows.js';

export class RowChain {
  readonly #storage: Storage;
  readonly #project: string;
  readonly #lastLine: number;
  readonly #tell: (line: number, problem: string) => void;
  #page: readonly Entry[] = [];
  #at = 0;
  #line = 1;
  #head = '';

  /** @param tell is told of rows that are missing or were changed */
  constructor(
    storage: Storage,
    project: string,
    lastLine: number,
    tell: (line: number, problem: string) => void,
  ) {
    this.#storage = storage;
    this.#project = project;
    this.#lastLine = lastLine;
    this.#tell = tell;
  }

  /** Of the next row. */
  get line(): number {
    return this.#line;
  }

  /** Hash of the row before. */
  get head(): string {
    return this.#head;
  }

  /** The next row; undefined for a missing one and behind the last one. */
  async peek(): Promise<Entry | undefined> {
    if (this.#line > this.#lastLine) return undefined;
    if (this.#at >= this.#page.length) {
      await breath();
      this.#page = await this.#storage.read(() => entriesFrom(this.#project, this.#line, mostAtOnce));
      this.#at = 0;
    }
    const row = this.#page[this.#at];
    return row?.line === this.#line ? row : undefined;
  }

  /** Goes on to the next row. */
  async take(): Promise<void> {
    const row = await this.peek();
    if (row && chainedHash(this.#head, formatLine(row)) !== row.sha256) {
      this.#tell(row.line, 'The row, or its hash, was changed.');
    }
    this.#advance(row);
  }

  /**
   * Goes on to the next row, for which the file has another text.
   * @returns whether the hash is that of the text
   */
  async takeWith(text: string): Promise<boolean> {
    const row = await this.peek();
    const fits = row !== undefined && chainedHash(this.#head, text) === row.sha256;
    if (fits) this.#advance(row);
    else await this.take();
    return fits;
  }

  async skipTo(line: number): Promise<void> {
    while (this.#line < line) await this.take();
  }

  /** Whether the row of a later line has this text. */
  async has(line: number, text: string): Promise<boolean> {
    if (line <= this.#line || line > this.#lastLine) return false;
    const [row] = await this.#storage.read(() => entriesFrom(this.#project, line, 1));
    return row?.line === line && formatLine(row) === text;
  }

  /** Compares what is left over with what the project's numbers say. */
  async end({ head }: Head): Promise<void> {
    await this.skipTo(this.#lastLine + 1);
    if (head !== this.#head) this.#tell(this.#lastLine, 'The last row has another hash than the project.');
  }

  #advance(row: Entry | undefined): void {
    if (row) {
      this.#head = row.sha256;
      this.#at++;
    } else this.#tell(this.#line, 'The row is missing.');
    this.#line++;
  }
}
