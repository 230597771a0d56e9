/** What follows in an answer: tags, with white space before them. */
import { type End, isEnd, isSpace, type Parse, type Reading, rawOf, type Unit } from './reading.js';
import { matchTag, type Tag, type TagFinder } from './speech.js';

interface Look {
  readonly tag: Tag | undefined;
  readonly taken: readonly Unit[];
  /** The answer was cut off before it could be told. */
  readonly cut: boolean;
}

/** Takes white space and one of the tags. Gives everything back where none stands there; of what is cut off, the end. */
export function* takeTag(reading: Reading, tags: readonly Tag[]): Parse<Tag | undefined> {
  const { tag, taken, cut } = yield* look(reading, tags);
  if (tag === undefined) giveBack(reading, cut ? taken.slice(-1) : taken);
  return tag;
}

/** Whether one of the tags follows, or nothing more; takes nothing but what is cut off before it can be told. */
export function* ahead(reading: Reading, tags: readonly Tag[]): Parse<'yes' | 'no' | 'cut'> {
  const { tag, taken, cut } = yield* look(reading, tags);
  giveBack(reading, cut ? taken.slice(-1) : taken);
  if (cut) return 'cut';
  return tag || isEnd(taken.at(-1)) ? 'yes' : 'no';
}

/** Whether the answer is cut off here. */
export function* isCut(reading: Reading): Parse<boolean> {
  const unit = yield* reading.take();
  reading.back(unit);
  return isEnd(unit) && unit.end === 'cut';
}

/** What a finder makes of a unit: a marker that it does not look for is text. */
export function inText(finder: TagFinder, unit: Exclude<Unit, End>): { plain: string; tag: Tag | undefined } {
  if (typeof unit === 'string') return finder.next(unit);
  const tag = finder.marked(unit);
  const plain = finder.flush();
  return { plain: tag ? plain : plain + unit.marker, tag };
}

function* look(reading: Reading, tags: readonly Tag[]): Parse<Look> {
  const taken: Unit[] = [];
  let matched = '';
  for (;;) {
    const unit = yield* reading.take();
    taken.push(unit);
    if (matched === '' && isSpace(unit)) continue;
    const states = tags.map((tag) => matchTag(tag, matched, unit));
    const tag = tags[states.indexOf('whole')];
    const cut = isEnd(unit) && unit.end === 'cut';
    if (tag || !states.includes('part')) return { tag, taken, cut };
    matched += rawOf(unit);
  }
}

function giveBack(reading: Reading, units: readonly Unit[]): void {
  for (const unit of [...units].reverse()) reading.back(unit);
}
