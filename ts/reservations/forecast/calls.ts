/** Agents that meet by way of calls: one works on what the other's code needs. */
import type { CallGraph, CallStep } from '../graph/call-graph.js';
import { pathFrom, reach } from '../graph/reach.js';
import { contains } from '../symbols/address.js';
import type { Claim, Claims, Members } from './claims.js';
import type { Findings } from './findings.js';

/** How many calls away a change may be felt. */
const depth = 5;

export function findCallConflicts(
  claims: Claims,
  graph: CallGraph,
  members: Members,
  findings: Findings,
): void {
  const agents = new Set(claims.all.map(({ agent }) => agent));
  if (agents.size < 2) return;
  for (const [key, callees] of claims.keys) {
    const reached = reach(graph, members.with(key), depth);
    for (const caller of reached.keys()) {
      const callers = [...claims.on(caller), ...claims.around(caller)].filter((one) => isApart(one.key, key));
      if (callers.length > 0) addAll(findings, callers, callees, pathFrom(caller, reached));
    }
  }
}

function addAll(
  findings: Findings,
  callers: readonly Claim[],
  callees: readonly Claim[],
  path: readonly CallStep[],
): void {
  for (const callee of callees) for (const caller of callers) addCalls(findings, caller, callee, path);
}

/** What is inside of the other is found as such. */
function isApart(a: string, b: string): boolean {
  return a !== b && !contains(a, b) && !contains(b, a);
}

function addCalls(findings: Findings, caller: Claim, callee: Claim, path: readonly CallStep[]): void {
  const [first] = path;
  if (first === undefined || caller.agent === callee.agent) return;
  const names = [first.caller, ...path.map((step) => step.callee)];
  const isGuess = path.some(({ confidence }) => confidence < 1);
  const way = `${names.join(' → ')}${isGuess ? ' (told by the names of methods)' : ''}`;
  if (path.length === 1 && callee.changesSignature) {
    const what = `${callee.label} will change how ${callee.address} is called`;
    const text = `${what}, and ${caller.address} of ${caller.label} calls it: ${way}.`;
    findings.add('signature_dependency', caller, callee, text, names);
    return;
  }
  const text = `${caller.address} of ${caller.label} depends on ${callee.address} of ${callee.label}: ${way}.`;
  findings.add('blast_radius_overlap', caller, callee, text, names);
}
