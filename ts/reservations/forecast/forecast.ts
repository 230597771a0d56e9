/** What will clash, before anybody has edited anything. */

import { canonical } from '../graph/build.js';
import type { CallGraph } from '../graph/call-graph.js';
import { withoutTwins } from '../graph/module-view.js';
import { splitAddress } from '../symbols/address.js';
import type { FileSymbols } from '../symbols/symbols.js';
import type { Conflict, Forecast, Intent, Party, PartyFilter, Reservation, Warning } from '../types.js';
import { findCallConflicts } from './calls.js';
import { Claims, labelOf, Members } from './claims.js';
import { Findings } from './findings.js';
import { findOperationConflicts } from './operations.js';
import { findFileOverlaps, findOverlaps } from './places.js';

export interface ForecastInput {
  /** Those that are active; whether they are is not looked at again. */
  readonly reservations: readonly Reservation[];
  readonly intents: readonly Intent[];
  /** What is known of the repository. */
  readonly files: readonly FileSymbols[];
  readonly graph: CallGraph;
  /** Whose conflicts alone are told. @default everybody's */
  readonly only?: PartyFilter | undefined;
}

/** At least this sure is a high risk; at least that sure a medium one; the rest is low. */
const highFrom = 0.8;
const mediumFrom = 0.5;

/**
 * Conflicts between different agents, the surest first; an agent is a `run_id` on a branch. Of overlaps and dependencies
 * between the same agents at the same addresses the surest one is told; operations that exclude each other are told
 * beside it. Announcing things in another order gives the same answer.
 */
export function forecast({ reservations, intents, files, graph, only = {} }: ForecastInput): Forecast {
  const claims = new Claims(reservations, intents);
  const findings = new Findings();
  const members = new Members(
    new Map(files.map(({ path, symbols }) => [path, symbols.map(({ name }) => name)])),
  );
  findOverlaps(claims, findings);
  findOperationConflicts(claims, findings);
  findCallConflicts(claims, graph, members, findings);
  findFileOverlaps(claims, findings);
  const conflicts = findings.sorted().filter(isOf(only, [...reservations, ...intents]));
  return {
    activeReservations: reservations.length,
    intents: intents.length,
    conflicts,
    ...risks(conflicts),
    warnings: doubtsOf(
      claims.all.map(({ address }) => address),
      files,
    ),
  };
}

/** An agent of which only one name is said may be several. */
function isOf({ runId, branch }: PartyFilter, all: readonly Party[]): (conflict: Conflict) => boolean {
  if (runId === undefined && branch === undefined) return () => true;
  const isMeant = (one: Party) => one.runId === (runId ?? one.runId) && one.branch === (branch ?? one.branch);
  const labels = new Set(all.filter(isMeant).map(labelOf));
  return ({ agents }) => agents.some((agent) => labels.has(agent));
}

function risks(conflicts: readonly Conflict[]): Pick<Forecast, 'highRisk' | 'mediumRisk' | 'lowRisk'> {
  const count = (from: number, below: number) =>
    conflicts.filter(({ confidence }) => confidence >= from && confidence < below).length;
  return {
    highRisk: count(highFrom, Number.POSITIVE_INFINITY),
    mediumRisk: count(mediumFrom, highFrom),
    lowRisk: count(0, mediumFrom),
  };
}

/** Addresses about which less is known than an address could say. */
export function doubtsOf(addresses: readonly string[], files: readonly FileSymbols[]): Warning[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const names = new Map<string, Set<string>>();
  const namesOf = (file: FileSymbols) => {
    const known = names.get(file.path) ?? new Set(file.symbols.map(({ name }) => withoutTwins(name)));
    names.set(file.path, known);
    return known;
  };
  const reasons = new Map<string, string>();
  for (const address of addresses) {
    const { path, name } = splitAddress(canonical(address));
    const file = byPath.get(path);
    const reason = file === undefined ? 'There is no such file yet.' : doubt(file, name, namesOf);
    if (reason !== undefined) reasons.set(address, reason);
  }
  return [...reasons].map(([subject, reason]) => ({ subject, reason }));
}

function doubt(
  file: FileSymbols,
  name: string,
  namesOf: (file: FileSymbols) => ReadonlySet<string>,
): string | undefined {
  if (name === '') return undefined;
  if (file.problem !== undefined) return `Only the file as a whole is known: ${file.problem}`;
  return namesOf(file).has(name) ? undefined : 'There is no such symbol yet.';
}
