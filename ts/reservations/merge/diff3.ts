/** Three-way merge of lines. Pure. */
import { diffLines, type Hunk } from './line-diff.js';

/** A stretch of the merged text. */
export interface Stretch {
  /** Who changed it; `both`: in the same way. */
  readonly from: 'none' | 'ours' | 'theirs' | 'both' | 'conflict';
  readonly base: readonly string[];
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
  /** Numbers of its first line on each side, from 0. */
  readonly at: { readonly base: number; readonly ours: number; readonly theirs: number };
}

/** With their line ends, so that together they are the text. */
export function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** Changes of both sides that overlap or touch are a conflict, unless they are the same. */
export function merge3(base: string, ours: string, theirs: string): Stretch[] {
  const [b, o, t] = [linesOf(base), linesOf(ours), linesOf(theirs)];
  const groups = grouped(diffLines(b, o), diffLines(b, t));
  const stretches: Stretch[] = [];
  // How far each side is; between groups all three go on together.
  let at = { base: 0, ours: 0, theirs: 0 };
  const add = (from: Stretch['from'] | undefined, to: typeof at) => {
    const cut = {
      base: b.slice(at.base, to.base),
      ours: o.slice(at.ours, to.ours),
      theirs: t.slice(at.theirs, to.theirs),
    };
    if (cut.base.length + cut.ours.length + cut.theirs.length > 0)
      stretches.push({ from: from ?? sameOrConflict(cut.ours, cut.theirs), ...cut, at });
    at = to;
  };
  for (const group of groups) {
    const shared = group.start - at.base;
    add('none', { base: group.start, ours: at.ours + shared, theirs: at.theirs + shared });
    const length = group.end - group.start;
    add(whoChanged(group), {
      base: group.end,
      ours: at.ours + length + grown(group.ours),
      theirs: at.theirs + length + grown(group.theirs),
    });
  }
  add('none', { base: b.length, ours: o.length, theirs: t.length });
  return stretches;
}

interface Group {
  /** Lines of the base. */
  start: number;
  end: number;
  readonly ours: Hunk[];
  readonly theirs: Hunk[];
}

function grouped(ours: readonly Hunk[], theirs: readonly Hunk[]): Group[] {
  const all = [
    ...ours.map((hunk) => ({ hunk, side: 'ours' as const })),
    ...theirs.map((hunk) => ({ hunk, side: 'theirs' as const })),
  ].sort((one, other) => one.hunk.aStart - other.hunk.aStart || one.hunk.aEnd - other.hunk.aEnd);
  const groups: Group[] = [];
  for (const { hunk, side } of all) {
    let group = groups.at(-1);
    if (!group || hunk.aStart > group.end) {
      group = { start: hunk.aStart, end: hunk.aEnd, ours: [], theirs: [] };
      groups.push(group);
    }
    group.end = Math.max(group.end, hunk.aEnd);
    group[side].push(hunk);
  }
  return groups;
}

function whoChanged(group: Group): 'ours' | 'theirs' | undefined {
  if (group.theirs.length === 0) return 'ours';
  return group.ours.length === 0 ? 'theirs' : undefined;
}

function sameOrConflict(ours: readonly string[], theirs: readonly string[]): 'both' | 'conflict' {
  const isSame = ours.length === theirs.length && ours.every((line, i) => line === theirs[i]);
  return isSame ? 'both' : 'conflict';
}

function grown(hunks: readonly Hunk[]): number {
  return hunks.reduce((sum, hunk) => sum + hunk.bEnd - hunk.bStart - (hunk.aEnd - hunk.aStart), 0);
}

/** The merged text; undefined when there are conflicts. */
export function cleanText(stretches: readonly Stretch[]): string | undefined {
  if (stretches.some(({ from }) => from === 'conflict')) return undefined;
  return stretches.map((stretch) => linesFor(stretch).join('')).join('');
}

function linesFor(stretch: Stretch): readonly string[] {
  return stretch.from === 'theirs' ? stretch.theirs : stretch.ours;
}

/** Names of the sides in markers. */
export interface Labels {
  readonly ours: string;
  readonly base: string;
  readonly theirs: string;
}

/** With what each side and the base say where they are in conflict. */
export function markedText(stretches: readonly Stretch[], labels: Labels): string {
  return stretches
    .flatMap((stretch) => {
      if (stretch.from !== 'conflict') return linesFor(stretch);
      const { ours, base, theirs } = stretch;
      return [
        `<<<<<<< ${labels.ours}\n`,
        ...closed(ours),
        `||||||| ${labels.base}\n`,
        ...closed(base),
        '=======\n',
        ...closed(theirs),
        `>>>>>>> ${labels.theirs}\n`,
      ];
    })
    .join('');
}

/** A marker must begin a line. */
function closed(lines: readonly string[]): string[] {
  return lines.map((line) => (line.endsWith('\n') ? line : `${line}\n`));
}
