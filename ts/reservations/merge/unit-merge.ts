/** Merges three texts symbol by symbol, for what lies too close together for a merge of lines. Pure. */
import { cleanText, linesOf, merge3 } from './diff3.js';
import { uniteImports } from './import-lists.js';
import { type Unit, unitsOf } from './units.js';
import { type FileVersion, parentName } from './version.js';

export interface Three<T> {
  readonly base: T;
  readonly ours: T;
  readonly theirs: T;
}

/** From names on each side to names in the base, for what was renamed. */
export interface OldNames {
  readonly ours: ReadonlyMap<string, string>;
  readonly theirs: ReadonlyMap<string, string>;
}

type Units = ReadonlyMap<string, Unit>;

/** @returns undefined when two changes meet in one symbol, or something would be lost or doubled. */
export function mergeUnits(versions: Three<FileVersion>, oldNames: OldNames): string | undefined {
  const units = {
    base: keyed(unitsOf(versions.base), new Map()),
    ours: keyed(unitsOf(versions.ours), oldNames.ours),
    theirs: keyed(unitsOf(versions.theirs), oldNames.theirs),
  };
  const order = mergedOrder(units);
  if (!order) return undefined;
  const merged: Unit[] = [];
  for (const key of order) {
    const unit = mergeUnit(units, key);
    if (unit === 'conflict') return undefined;
    if (unit) merged.push(apart(unit, merged, units, key));
  }
  return isConserved(units, merged) ? merged.map(({ lead, text }) => lead + text).join('') : undefined;
}

function keyed(units: readonly Unit[], oldNames: ReadonlyMap<string, string>): Units {
  return new Map(units.map((unit) => [unit.isImport ? unit.key : oldKey(unit.key, oldNames), unit]));
}

function oldKey(key: string, oldNames: ReadonlyMap<string, string>): string {
  if (key.endsWith('#tail')) return `${oldKey(key.slice(0, -'#tail'.length), oldNames)}#tail`;
  const old = oldNames.get(key);
  const parent = parentName(key);
  if (old !== undefined || parent === undefined) return old ?? key;
  return `${oldKey(parent, oldNames)}${key.slice(parent.length)}`;
}

/** Order of the base, or of the side that has another one; what a side added comes after what it follows there. */
function mergedOrder({ base, ours, theirs }: Three<Units>): string[] | undefined {
  const inAll = (units: Units) =>
    [...units.keys()].filter((key) => base.has(key) && ours.has(key) && theirs.has(key)).join('\n');
  const [inBase, inOurs, inTheirs] = [base, ours, theirs].map(inAll);
  const isOursMoved = inOurs !== inBase;
  if (isOursMoved && inTheirs !== inBase && inOurs !== inTheirs) return undefined;
  const [first, second] = isOursMoved || inTheirs === inBase ? [ours, theirs] : [theirs, ours];
  const order = [...first.keys()].filter((key) => !base.has(key) || second.has(key));
  // What one side took away and the other changed is found by merging it.
  const keys = [...second.keys()];
  keys.forEach((key, i) => {
    if (first.has(key)) return;
    const before = keys.slice(0, i).findLast((one) => order.includes(one));
    order.splice(placeAfter(order, before, base), 0, key);
  });
  return [...order, ...[...first.keys()].filter((key) => base.has(key) && !second.has(key))];
}

function placeAfter(order: readonly string[], before: string | undefined, base: Units): number {
  let place = before === undefined ? 0 : order.indexOf(before) + 1;
  const isAddition = (key: string | undefined) =>
    key !== undefined && !base.has(key) && !key.endsWith('#tail');
  while (isAddition(order[place])) place++;
  return place;
}

function mergeUnit(units: Three<Units>, key: string): Unit | 'conflict' | undefined {
  const [base, ours, theirs] = [units.base.get(key), units.ours.get(key), units.theirs.get(key)];
  if (!base) return addedUnit(ours, theirs);
  if (!ours || !theirs) {
    const other = ours ?? theirs;
    const isTouched = other && (other.text !== base.text || other.lead.trim() !== base.lead.trim());
    return isTouched ? 'conflict' : undefined;
  }
  const text = mergeText(base.text, ours.text, theirs.text, base.isImport);
  const lead = mergeLead(base.lead, ours.lead, theirs.lead);
  return text === undefined || lead === undefined ? 'conflict' : { ...base, lead, text };
}

function addedUnit(ours: Unit | undefined, theirs: Unit | undefined): Unit | 'conflict' | undefined {
  if (!ours || !theirs || ours.text === theirs.text) return ours ?? theirs;
  const united = ours.isImport ? uniteImports('', ours.text, theirs.text) : undefined;
  return united === undefined ? 'conflict' : { ...ours, text: united };
}

function mergeText(base: string, ours: string, theirs: string, isImport: boolean): string | undefined {
  const united = isImport && ours !== base && theirs !== base ? uniteImports(base, ours, theirs) : undefined;
  return united ?? cleanText(merge3(base, ours, theirs));
}

/** How many blank lines there are is not worth a conflict. */
function mergeLead(base: string, ours: string, theirs: string): string | undefined {
  const clean = cleanText(merge3(base, ours, theirs));
  const areBlank = ours.trim() === '' && theirs.trim() === '';
  return clean ?? (areBlank ? ours : undefined);
}

/** What was first in its text has nothing before it; behind something else it gets what follows it there. */
function apart(unit: Unit, before: readonly Unit[], units: Three<Units>, key: string): Unit {
  if (before.length === 0 || unit.lead !== '' || units.base.has(key) || unit.isImport) return unit;
  if (before.at(-1)?.isImport) return { ...unit, lead: '\n\n' };
  const side = units.ours.has(key) ? units.ours : units.theirs;
  const keys = [...side.keys()];
  const isFirst = keys[0] === key;
  const next = side.get(keys[keys.indexOf(key) + 1] ?? '');
  return isFirst && next && next.lead.trim() === '' ? { ...unit, lead: next.lead } : unit;
}

/** Every line is there as often as both sides together say. */
function isConserved(units: Three<Units>, merged: readonly Unit[]): boolean {
  const [base, ours, theirs] = [units.base, units.ours, units.theirs].map((one) =>
    counted([...one.values()]),
  );
  const result = counted(merged);
  for (const line of new Set([ours, theirs, result].flatMap((counts) => [...(counts?.keys() ?? [])]))) {
    const [b, o, t, found] = [base, ours, theirs, result].map((counts) => counts?.get(line) ?? 0);
    if (!isExpected(found ?? 0, b ?? 0, o ?? 0, t ?? 0)) return false;
  }
  return true;
}

/** Changes of both sides add up, unless both made the same one. */
export function isExpected(found: number, base: number, ours: number, theirs: number): boolean {
  const sum = Math.max(0, ours + theirs - base);
  const same = ours > base ? Math.max(ours, theirs) : Math.min(ours, theirs);
  return found >= Math.min(sum, same) && found <= Math.max(sum, same);
}

function counted(units: readonly Unit[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const unit of units.filter(({ isImport }) => !isImport)) {
    for (const line of linesOf(unit.lead + unit.text)) {
      const bare = line.trim();
      if (/[\p{L}\p{N}]/u.test(bare)) counts.set(bare, (counts.get(bare) ?? 0) + 1);
    }
  }
  return counts;
}
