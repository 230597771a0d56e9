/**
 * Where the audit of a session is written. A chain has one writer: should another process, or another clutch of this one,
 * be writing in the session's folder, a folder in it is taken, with chains of its own.
 */
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive } from '../../process-alive.js';

export interface WriterPlace {
  readonly folder: string;
  /** Others may write there. */
  release(): void;
}

const mark = '.writer';
const besides = /^beside-\d+$/;

/** Those that this process writes in: its own mark does not say whether it still does. */
const here = new Set<string>();

/** @throws what the file system does */
export function takePlace(session: string): WriterPlace {
  for (let n = 0; ; n++) {
    const folder = n === 0 ? session : join(session, `beside-${n}`);
    if (isTaken(folder)) {
      here.add(folder);
      return { folder, release: () => release(folder) };
    }
  }
}

/** Folders of a session that have chains, its own first. */
export function placesOf(session: string): string[] {
  const names = readdirSync(session).filter((name) => besides.test(name));
  return [session, ...names.sort().map((name) => join(session, name))];
}

function release(folder: string): void {
  here.delete(folder);
  rmSync(join(folder, mark), { force: true });
}

function isTaken(folder: string): boolean {
  if (here.has(folder)) return false;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, mark);
  // Once more when whoever has left the mark is gone.
  return isMarked(path) || (removeOfTheDead(path) && isMarked(path));
}

/** The mark is there whole or not at all. */
function isMarked(path: string): boolean {
  const fresh = `${path}.${process.pid}.${randomUUID()}`;
  writeFileSync(fresh, String(process.pid), { flag: 'wx', mode: 0o600 });
  try {
    linkSync(fresh, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(fresh);
  }
}

function removeOfTheDead(path: string): boolean {
  const pid = Number(readFileSync(path, 'utf8'));
  if (pid !== process.pid && isAlive(pid)) return false;
  rmSync(path, { force: true });
  return true;
}
