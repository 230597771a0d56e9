/** Which process works on a run, by a name that tells others on its machine whether it lives. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { isAlive } from '../../process-alive.js';

/** Those in this process. */
const here = new Set<string>();

/** A name that nobody has had before. */
export function newOwner(): string {
  const owner = `${hostname()}:${process.pid}:${randomUUID()}`;
  here.add(owner);
  return owner;
}

export function forgetOwner(owner: string): void {
  here.delete(owner);
}

/** Those that were on this machine and are no more. */
export function deadOwners(owners: readonly string[]): string[] {
  const host = `${hostname()}:`;
  return owners.filter((owner) => {
    if (!owner.startsWith(host) || here.has(owner)) return false;
    const pid = Number(owner.slice(host.length).split(':')[0]);
    // Another process may have had the number that this one has now.
    return pid === process.pid || !isAlive(pid);
  });
}
