/**
 * What the model says, between its thoughts and calls: free text up to the next marker. White space that stands
 * only between them is not said.
 */
import {
  type End,
  isEnd,
  isMarker,
  isSpace,
  type Marker,
  type Parse,
  type Reading,
  rawOf,
  type Unit,
} from './reading.js';

/** A marker of a model's format. */
export interface Tag {
  readonly text: string;
  /** The vocabulary has it as one token; then the same characters in other tokens are no marker. */
  readonly token: boolean;
}

export class Speech {
  readonly #reading: Reading;
  /** White space that is said if text follows. */
  #space = '';
  #open = false;
  #said = false;
  /** Thoughts or calls have been read. */
  #interrupted = false;
  #lineStart = true;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  /** Nothing but white space since the last line break, or since the beginning. */
  get atLineStart(): boolean {
    return this.#lineStart;
  }

  /** @param held as in `Reading.text`. */
  say(text: string, held = 0): void {
    if (text === '') return;
    this.#lineStart = /(^|\n)[ \t]*$/.test(text) && (this.#lineStart || text.includes('\n'));
    if (this.#open) {
      this.#reading.text(text, held);
      return;
    }
    this.#space += text;
    if (text.trim() === '') return;
    const swallows = this.#interrupted && !this.#said;
    this.#reading.text(swallows ? this.#space.trimStart() : this.#space, held);
    this.#space = '';
    this.#open = true;
    this.#said = true;
  }

  /** Thoughts or a call begin. */
  interrupt(): void {
    this.#space = '';
    this.#open = false;
    this.#interrupted = true;
    this.#lineStart = true;
  }

  /** Nothing more is said. */
  end(): void {
    if (!this.#interrupted && this.#space !== '') this.#reading.text(this.#space);
    this.#space = '';
    this.#reading.drop();
  }
}

export interface FreeTextOptions {
  /** Returns at this character, too, where it is the first of a line. */
  lineStart?: string;
}

/** Says everything up to one of the tags, or the end; returns that. */
export function* freeText(
  reading: Reading,
  speech: Speech,
  tags: readonly Tag[],
  options: FreeTextOptions = {},
): Parse<Tag | End> {
  const finder = new TagFinder(tags);
  for (;;) {
    const unit = yield* reading.take();
    const starts = unit === options.lineStart && finder.held === 0 && speech.atLineStart;
    const found = starts
      ? { text: rawOf(unit), token: false }
      : typeof unit === 'string'
        ? saidOrTag(speech, finder, unit)
        : noText(reading, speech, finder, unit);
    if (found) return found;
  }
}

function saidOrTag(speech: Speech, finder: TagFinder, char: string): Tag | undefined {
  const { plain, tag } = finder.next(char);
  speech.say(plain, finder.held);
  return tag;
}

/** A marker or the end, which cuts off what might have become a tag. */
function noText(
  reading: Reading,
  speech: Speech,
  finder: TagFinder,
  unit: Exclude<Unit, string>,
): Tag | End | undefined {
  const partial = finder.flush();
  if (!isEnd(unit) || unit.end === 'stop') speech.say(partial, rawOf(unit).length);
  if (isEnd(unit)) {
    speech.end();
    return unit;
  }
  const tag = finder.marked(unit);
  if (!tag && !unit.special) speech.say(unit.marker);
  else if (!tag) reading.drop();
  return tag;
}

/** Finds tags in a stream and keeps back what may become one. */
export class TagFinder {
  readonly #tags: readonly Tag[];
  readonly #written: readonly Tag[];
  #partial = '';

  constructor(tags: readonly Tag[]) {
    this.#tags = tags;
    this.#written = tags.filter((tag) => !tag.token);
  }

  /** Characters kept back. */
  get held(): number {
    return this.#partial.length;
  }

  /** @returns what can be no part of a tag, and the tag that is complete. */
  next(char: string): { plain: string; tag: Tag | undefined } {
    const text = this.#partial + char;
    const tag = this.#written.find((one) => one.text === text);
    const rest = tag ? 0 : longestBegun(this.#written, text);
    this.#partial = text.slice(text.length - rest);
    return { plain: tag ? '' : text.slice(0, text.length - rest), tag };
  }

  /** The tag that a token of the vocabulary is. */
  marked(unit: Marker): Tag | undefined {
    return this.#tags.find((tag) => tag.token && tag.text === unit.marker);
  }

  /** What was kept back is no tag. */
  flush(): string {
    const partial = this.#partial;
    this.#partial = '';
    return partial;
  }
}

/** How many characters at the end of a text begin one of the tags. */
function longestBegun(tags: readonly Tag[], text: string): number {
  for (let from = 0; from < text.length; from++) {
    const rest = text.slice(from);
    if (tags.some((tag) => tag.text.startsWith(rest))) return rest.length;
  }
  return 0;
}

/** Whether a tag of which `matched` has been taken goes on with this unit, or is complete with it. */
export function matchTag(tag: Tag, matched: string, unit: Unit): 'whole' | 'part' | 'no' {
  if (tag.token || typeof unit !== 'string') return tag.token && isMarker(unit, tag.text) ? 'whole' : 'no';
  const text = matched + unit;
  if (text === tag.text) return 'whole';
  return tag.text.startsWith(text) ? 'part' : 'no';
}

export interface ThoughtTags {
  readonly open: Tag;
  readonly close: Tag;
}

/** Reads thoughts where the answer begins with them. @param begun the prompt has opened them. */
export function* thoughts(reading: Reading, speech: Speech, tags: ThoughtTags, begun: boolean): Parse {
  if (!begun && !(yield* opened(reading, tags.open))) return;
  speech.interrupt();
  reading.drop();
  yield* upToClose(reading, tags.close);
  reading.drop();
}

function* upToClose(reading: Reading, close: Tag): Parse {
  const finder = new TagFinder([close]);
  const pen = new ThoughtPen(reading);
  let unit = yield* reading.take();
  while (!isEnd(unit)) {
    if (isMarker(unit, close.text)) return;
    const { plain, tag } =
      typeof unit === 'string' ? finder.next(unit) : { plain: finder.flush() + unit.marker, tag: undefined };
    pen.write(plain, finder.held);
    if (tag) return;
    unit = yield* reading.take();
  }
  if (unit.end === 'stop') pen.write(finder.flush(), 0);
  reading.back(unit);
}

/** Writes thoughts without the white space around them. */
class ThoughtPen {
  readonly #reading: Reading;
  #space = '';
  #begun = false;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  write(text: string, held: number): void {
    const said = this.#begun ? text : text.trimStart();
    const { length } = said.trimEnd();
    const kept = length > 0 ? this.#space + said.slice(0, length) : '';
    this.#space = (length > 0 ? '' : this.#space) + said.slice(length);
    this.#begun ||= length > 0;
    this.#reading.reasoning(kept, held + this.#space.length);
  }
}

/** Takes white space and the tag; gives everything back where another thing stands there. */
function* opened(reading: Reading, tag: Tag): Parse<boolean> {
  const taken: Unit[] = [];
  let matched = '';
  let state: ReturnType<typeof matchTag> = 'part';
  while (state === 'part') {
    const unit = yield* reading.take();
    taken.push(unit);
    if (matched === '' && isSpace(unit)) continue;
    state = matchTag(tag, matched, unit);
    matched += rawOf(unit);
  }
  if (state === 'whole') return true;
  const last = taken.at(-1);
  for (const unit of taken.reverse()) reading.back(unit);
  // What was cut off here may have become the tag.
  if (isEnd(last) && last.end === 'cut' && matched !== '') yield* dropAll(reading);
  return false;
}

function* dropAll(reading: Reading): Parse {
  for (;;) {
    const unit = yield* reading.take();
    if (!isEnd(unit)) continue;
    reading.drop();
    reading.back(unit);
    return;
  }
}
