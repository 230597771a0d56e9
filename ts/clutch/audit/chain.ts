/**
 * Entries of an audit file and the seal that each ends with: its number and a hash that covers all entries before, also
 * those of files that were set aside. Pure.
 */
import { chainedHash } from '../../storage/log-text.js';

/** Where a chain has come to. */
export interface ChainHead {
  /** Of the last entry; 0 before the first. */
  readonly seq: number;
  /** Lower-case hex; empty before the first. */
  readonly hash: string;
}

export const chainStart: ChainHead = { seq: 0, hash: '' };

/** An entry as a file holds it. */
export interface SealedEntry extends ChainHead {
  /** What the hash covers. */
  readonly body: string;
}

/** How entries of one kind of file are written. */
export interface EntryFormat {
  /** The entry with its seal, down to its last newline. */
  seal(body: string, head: ChainHead): string;
  /** All entries that are whole, in order. */
  read(text: string): ReadEntries;
}

export interface ReadEntries {
  readonly entries: SealedEntry[];
  /** Numbers of the entries after which something stands that is none. */
  readonly strays: readonly number[];
  /** In characters, of all but what was cut off at the end. */
  readonly length: number;
}

/** Seals an entry after `head`. The body says its own number, so that it cannot be counted as another. */
export function nextHead(head: ChainHead, body: string): ChainHead {
  const seq = head.seq + 1;
  return { seq, hash: chainedHash(head.hash, `${seq} ${body}`) };
}

// JSON has U+2028 and its like as they are: a line ends with a newline and nothing else.
const jsonSeal = /^(\{.*),"seq":(\d{1,15}),"chain":"([0-9a-f]{64})"\}$/s;

/** One JSON object a line; the seal is its last two fields. The body has at least one field. */
export const jsonLines: EntryFormat = {
  seal: (body, { seq, hash }) => `${body.slice(0, -1)},"seq":${seq},"chain":"${hash}"}\n`,
  read: (text) => {
    const entries: SealedEntry[] = [];
    const strays: number[] = [];
    let at = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      const [, start, seq, hash] = jsonSeal.exec(text.slice(at, end)) ?? [];
      if (start === undefined || hash === undefined) strays.push(entries.at(-1)?.seq ?? 0);
      else entries.push({ body: `${start}}`, seq: Number(seq), hash });
      at = end + 1;
    }
    return { entries, strays, length: at };
  },
};

const markdownSeal = /^<!-- entry (\d{1,15}), chain ([0-9a-f]{64}) -->\n\n/gm;

/** Paragraphs of Markdown; the seal is a comment on a line of its own, which no line of a body is. */
export const markdownEntries: EntryFormat = {
  seal: (body, { seq, hash }) => `${body}\n<!-- entry ${seq}, chain ${hash} -->\n\n`,
  read: (text) => {
    const entries: SealedEntry[] = [];
    let at = 0;
    for (const found of text.matchAll(markdownSeal)) {
      entries.push({ body: text.slice(at, found.index - 1), seq: Number(found[1]), hash: found[2] ?? '' });
      at = found.index + found[0].length;
    }
    return { entries, strays: [], length: at };
  },
};
