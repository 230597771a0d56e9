/** An entry as one line of a file, for people to read and for programs to get the entry back as it was. Pure. */
import {
  corruptLine,
  escaper,
  type Field,
  fieldsOf,
  fieldsText,
  indexOfMark,
  unescaped,
} from '../storage/log-text.js';
import {
  type Entry,
  type EntryPriority,
  type EntryStatus,
  emojiOf,
  entryPriorities,
  entryStatuses,
  type Meta,
  type MetaValue,
} from './entry.js';

/** What a line holds: all but the hash, which is of the line. */
export type LineEntry = Omit<Entry, 'sha256'>;

const inBrackets = escaper(']');
const inMessage = escaper('|');
const secondLength = 'YYYY-MM-DD HH:MM:SS'.length;

/**
 * `[emoji] [YYYY-MM-DD HH:MM:SS UTC] [Agent: A] [Project: P] message | k=v; k2=v2; @id=…`, without the end of the line.
 * What is in the way of that is escaped with backslashes.
 */
export function formatLine(entry: LineEntry): string {
  const time = new Date(entry.ts).toISOString().slice(0, secondLength).replace('T', ' ');
  const start = `[${inBrackets(entry.emoji)}] [${time} UTC]`;
  const who = `[Agent: ${inBrackets(entry.agent)}] [Project: ${inBrackets(entry.project)}]`;
  const meta = Object.entries(entry.meta).map(([key, value]): Field => [key, valueText(value)]);
  return `${start} ${who} ${inMessage(entry.message)} | ${fieldsText(meta, ownFields(entry))}`;
}

/**
 * The entry of a line.
 * @throws StompError LOG_CORRUPT for anything but what `formatLine` gives
 */
export function parseLine(text: string): LineEntry {
  const scan = new Scan(text);
  const emoji = scan.between('[', ']');
  const time = scan.between(' [', ']');
  const agent = scan.between(' [Agent: ', ']');
  const project = scan.between(' [Project: ', ']');
  const message = scan.between(' ', '|').slice(0, -1);
  const { fields, own } = fieldsOf(scan.rest().slice(1));
  const status = own.get('status') ?? statusOf(emoji);
  const entry: LineEntry = {
    id: own.get('id') ?? '',
    project,
    line: Number(own.get('line')),
    ts: Date.parse(`${time.slice(0, secondLength).replace(' ', 'T')}Z`) + Number(own.get('ms') ?? 0),
    agent,
    session_id: own.get('session') ?? null,
    status: status as EntryStatus,
    emoji,
    priority: own.get('priority') as EntryPriority,
    category: own.get('category') ?? null,
    tags: tagsOf(own.get('tags'), text),
    confidence: own.has('confidence') ? Number(own.get('confidence')) : null,
    message,
    meta: Object.fromEntries(fields.map(([key, value]) => [key, valueIn(value)])) as Meta,
    token: own.get('token') ?? '',
  };
  if (!isWhole(entry) || formatLine(entry) !== text) throw corruptLine('it was changed', text);
  return entry;
}

/** Whether each field is one that an entry may have. */
function isWhole({ ts, line, status, priority, confidence, token }: LineEntry): boolean {
  return (
    Number.isSafeInteger(ts) &&
    Number.isSafeInteger(line) &&
    entryStatuses.includes(status) &&
    entryPriorities.includes(priority) &&
    (confidence === null || Number.isFinite(confidence)) &&
    /^\d+$/.test(token)
  );
}

function ownFields(entry: LineEntry): Field[] {
  const ms = ((entry.ts % 1000) + 1000) % 1000;
  const fields: [string, string | number | null][] = [
    ['id', entry.id],
    ['line', entry.line],
    ['ms', ms === 0 ? null : ms],
    ['session', entry.session_id],
    ['status', entry.status === statusOf(entry.emoji) ? null : entry.status],
    ['priority', entry.priority],
    ['category', entry.category],
    ['tags', entry.tags.length === 0 ? null : JSON.stringify(entry.tags)],
    ['confidence', entry.confidence],
    ['token', entry.token],
  ];
  return fields.flatMap(([key, value]): Field[] => (value === null ? [] : [[key, String(value)]]));
}

function statusOf(emoji: string): EntryStatus | undefined {
  return entryStatuses.find((status) => emojiOf[status] === emoji);
}

/** Texts stand as they are, unless they would be taken for something else. */
function valueText(value: MetaValue): string {
  return typeof value === 'string' && valueIn(value) === value ? value : JSON.stringify(value);
}

function valueIn(text: string): MetaValue {
  if (!/^[\s{["\-\dtfn]/.test(text)) return text;
  try {
    return JSON.parse(text) as MetaValue;
  } catch {
    return text;
  }
}

function tagsOf(text: string | undefined, line: string): string[] {
  if (text === undefined) return [];
  const tags = valueIn(text);
  if (!Array.isArray(tags)) throw corruptLine('its tags are no list', line);
  return tags.map(String);
}

/** Goes through a line from its start. */
class Scan {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @throws StompError LOG_CORRUPT when `start` is not what comes next or `end` does not follow. */
  between(start: string, end: string): string {
    const from = this.#at + start.length;
    const to = this.#text.startsWith(start, this.#at) ? indexOfMark(this.#text, end, from) : -1;
    if (to < 0) throw corruptLine(`"${start}…${end}" is missing`, this.#text);
    this.#at = to + end.length;
    return unescaped(this.#text.slice(from, to));
  }

  rest(): string {
    return this.#text.slice(this.#at);
  }
}
