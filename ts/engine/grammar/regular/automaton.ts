/** Deterministic automata over characters: how languages and numbers become rules of a grammar. */

import { tooHard } from '../work.js';
import type { Language, Languages } from './language.js';
import { normalRanges, type Ranges } from './ranges.js';

export interface Arc {
  readonly ranges: Ranges;
  readonly target: number;
}

export interface State {
  readonly accepting: boolean;
  readonly arcs: readonly Arc[];
}

/** It starts in state 0. From every other state an accepting one can be reached. */
export type Automaton = readonly State[];

/** What is walked to find the states of an automaton. */
export interface Walk<S> {
  readonly start: S;
  /** Equal for states that are the same. */
  key(state: S): string | number;
  accepting(state: S): boolean;
  /** Ranges of different entries do not overlap. */
  arcs(state: S): Iterable<readonly [Ranges, S]>;
  /** Counts the work. @throws StompError INVALID_REQUEST */
  spend(steps: number, where: string): void;
}

/**
 * All states, those from which nothing is accepted left out and equal ones joined.
 * @param where what it is for, for messages.
 * @param maxStates with more states than this it is given up.
 * @throws StompError INVALID_REQUEST
 */
export function automaton<S>(walk: Walk<S>, where: string, maxStates = 3000): Automaton {
  const numbers = new Map<string | number, number>([[walk.key(walk.start), 0]]);
  const found: S[] = [walk.start];
  const states: State[] = [];
  for (let i = 0; i < found.length; i++) {
    const state = found[i] as S;
    const arcs = [...walk.arcs(state)].map(([ranges, target]): Arc => {
      const key = walk.key(target);
      const number = numbers.get(key) ?? found.push(target) - 1;
      numbers.set(key, number);
      return { ranges, target: number };
    });
    if (found.length > maxStates) throw tooHard(where);
    walk.spend(1 + arcs.length, where);
    states.push({ accepting: walk.accepting(state), arcs: joinArcs(arcs) });
  }
  return joinAlike(withoutDeadEnds(states));
}

export function isEmpty(states: Automaton): boolean {
  const [start] = states;
  return start === undefined || (!start.accepting && start.arcs.length === 0);
}

/** The automaton of a regular language. @throws StompError INVALID_REQUEST */
export function languageAutomaton(languages: Languages, language: Language, where: string): Automaton {
  const known = automata.get(language);
  if (known !== undefined) return known;
  const made = automaton<Language>(
    {
      start: language,
      key: (state) => state.id,
      accepting: (state) => state.nullable,
      arcs: (state) => derivatives(languages, state),
      spend: (steps, place) => languages.spend(steps, place),
    },
    where,
  );
  automata.set(language, made);
  return made;
}

/** Made already. A language belongs to one form. */
const automata = new WeakMap<Language, Automaton>();

function* derivatives(languages: Languages, state: Language): Iterable<readonly [Ranges, Language]> {
  const points = [...new Set(languages.cuts(state)).add(0)].sort((a, b) => a - b);
  for (const [i, low] of points.entries()) {
    const ranges = normalRanges([[low, (points[i + 1] ?? 0x110000) - 1]]);
    const [first] = ranges;
    if (first === undefined || first[0] > 0x10ffff) continue;
    const target = languages.derivative(state, first[0]);
    if (target !== languages.never) yield [ranges, target];
  }
}

/** One arc to each target. */
function joinArcs(arcs: readonly Arc[]): Arc[] {
  const byTarget = new Map<number, (readonly [number, number])[]>();
  for (const { ranges, target } of arcs) {
    const known = byTarget.get(target);
    if (known) known.push(...ranges);
    else byTarget.set(target, [...ranges]);
  }
  return [...byTarget].map(([target, ranges]) => ({ target, ranges: normalRanges(ranges) }));
}

function withoutDeadEnds(states: readonly State[]): State[] {
  const sources = states.map((): number[] => []);
  for (const [i, { arcs }] of states.entries()) for (const { target } of arcs) sources[target]?.push(i);
  const waiting = [...states.keys()].filter((i) => states[i]?.accepting);
  const live = new Set<number>();
  for (let i = waiting.pop(); i !== undefined; i = waiting.pop()) {
    if (live.has(i)) continue;
    live.add(i);
    waiting.push(...(sources[i] ?? []));
  }
  return renumber(
    states,
    (i) => live.has(i) || i === 0,
    (i) => i,
    (target) => live.has(target),
  );
}

/** Joins states that accept alike and lead to the same places, from the last found to the first. */
function joinAlike(states: readonly State[]): State[] {
  const same = states.map((_, i) => i);
  const seen = new Map<string, number>();
  for (let i = states.length - 1; i >= 0; i--) {
    const { accepting, arcs } = states[i] as State;
    const lines = arcs.map(
      ({ ranges, target }) => `${target === i ? 'self' : same[target]}:${ranges.join(';')}`,
    );
    const key = `${accepting}|${lines.sort().join('|')}`;
    const known = seen.get(key);
    if (known !== undefined && i !== 0) same[i] = known;
    else seen.set(key, i);
  }
  return renumber(
    states,
    (i) => same[i] === i,
    (i) => same[i] ?? i,
    () => true,
  );
}

function renumber(
  states: readonly State[],
  keep: (state: number) => boolean,
  same: (state: number) => number,
  leads: (target: number) => boolean,
): State[] {
  const kept = [...states.keys()].filter(keep);
  const numbers = new Map(kept.map((old, i) => [old, i]));
  return kept.map((old) => {
    const { accepting, arcs } = states[old] as State;
    const left = arcs.filter(({ target }) => leads(target));
    return {
      accepting,
      arcs: joinArcs(left.map(({ ranges, target }) => ({ ranges, target: numbers.get(same(target)) ?? 0 }))),
    };
  });
}
