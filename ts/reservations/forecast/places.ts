/** Agents that meet at the same place: an address, a class and its member, a file. */
import type { Claim, Claims } from './claims.js';
import type { Findings } from './findings.js';

export function findOverlaps(claims: Claims, findings: Findings): void {
  for (const [, same] of claims.keys) eachPair(same, (a, b) => addOverlap(a, b, findings));
  for (const inner of claims.all) {
    for (const outer of claims.around(inner.key)) {
      const text = `${inner.address} of ${inner.label} lies inside of ${outer.address} of ${outer.label}.`;
      findings.add('containment_overlap', outer, inner, text);
    }
  }
}

function addOverlap(a: Claim, b: Claim, findings: Findings): void {
  const [first, second] = [a.label, b.label].sort();
  const where = a.address < b.address ? a.address : b.address;
  findings.add('address_overlap', a, b, `${first} and ${second} have both announced ${where}.`);
}

/** What is left when everything surer has been found. */
export function findFileOverlaps(claims: Claims, findings: Findings): void {
  for (const [path, all] of claims.paths) {
    const byAgent = new Map<string, Claim[]>();
    for (const claim of all) byAgent.set(claim.agent, [...(byAgent.get(claim.agent) ?? []), claim]);
    eachPair([...byAgent.values()], (a, b) => findings.addFile(path, a, b));
  }
}

export function eachPair<T>(all: readonly T[], work: (a: T, b: T) => void): void {
  for (const [i, one] of all.entries()) for (const other of all.slice(i + 1)) work(one, other);
}
