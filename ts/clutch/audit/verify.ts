/** Whether the audit of a session is as it was written. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { sha256 } from '../../file-text.js';
import { type ChainHead, chainStart, type EntryFormat, nextHead, type SealedEntry } from './chain.js';
import { filesOfChain } from './chained-file.js';
import { type AuditFile, type AuditHeads, auditFiles } from './run-audit.js';
import { placesOf } from './writer-place.js';

/** Something that is not as it was written. */
export interface AuditFault {
  /** In the folder. */
  readonly file: string;
  /** Number of the entry at which it shows; 0 for a whole file. */
  readonly seq: number;
  readonly problem: string;
}

export interface AuditReport {
  readonly faults: readonly AuditFault[];
  /** How many entries were found, in all files. */
  readonly entries: number;
}

interface PlacedEntry extends SealedEntry {
  readonly file: string;
}

/**
 * Finds lines that were changed, taken out, put in or brought into another order, and scripts that were changed.
 * @param heads what `RunAudit.sync` gave at some time, or at several: without them, lines missing at the very end, and
 *   files that are missing, cannot be noticed; what was written after the last of them may be missing all the same
 */
export function verifyAudit(folder: string, heads: AuditHeads | readonly AuditHeads[] = []): AuditReport {
  const places = placesOf(folder).map((place) => ({ place, chains: chainsOf(place) }));
  const faults = places.flatMap(({ place, chains }) =>
    chains
      .flatMap((chain) => chain.faults)
      .map((fault) => ({ ...fault, file: join(relative(folder, place), fault.file) })),
  );
  const chains = places.flatMap((one) => one.chains);
  return {
    faults: [...faults, ...[heads].flat().flatMap((known) => missingHeads(chains, known))],
    entries: chains.reduce((sum, { entries }) => sum + entries.length, 0),
  };
}

interface Chain {
  readonly file: AuditFile;
  readonly entries: readonly PlacedEntry[];
  readonly faults: readonly AuditFault[];
}

function chainsOf(folder: string): Chain[] {
  return (Object.keys(auditFiles) as AuditFile[]).map((file) => {
    const { name, format } = auditFiles[file];
    const { entries, faults } = readChain(join(folder, name), format);
    const scripts = file === 'cli' ? scriptFaults(folder, entries) : [];
    return { file, entries, faults: [...faults, ...chainFaults(entries), ...scripts] };
  });
}

/** A head may be of any of the places in which the session was written. */
function missingHeads(chains: readonly Chain[], heads: AuditHeads): AuditFault[] {
  return (Object.keys(auditFiles) as AuditFile[]).flatMap((file) => {
    const head = heads[file];
    const entries = chains.filter((chain) => chain.file === file).flatMap((chain) => chain.entries);
    if (head.seq === 0 || entries.some(({ seq, hash }) => seq === head.seq && hash === head.hash)) return [];
    const problem = 'The entry that is known to have been here is missing or another.';
    return [{ file: auditFiles[file].name, seq: head.seq, problem }];
  });
}

function readChain(path: string, format: EntryFormat): { entries: PlacedEntry[]; faults: AuditFault[] } {
  const entries: PlacedEntry[] = [];
  const faults: AuditFault[] = [];
  for (const one of filesOfChain(path)) {
    const text = readFileSync(one, 'utf8');
    const file = basename(one);
    const read = format.read(text);
    entries.push(...read.entries.map((entry) => ({ ...entry, file })));
    faults.push(
      ...read.strays.map((seq) => ({ file, seq: seq + 1, problem: 'What stands here is no entry.' })),
    );
    if (read.length < text.length) {
      const seq = (entries.at(-1)?.seq ?? 0) + 1;
      faults.push({ file, seq, problem: 'What follows is only a part of an entry.' });
    }
  }
  return { entries, faults };
}

/** After a fault the chain is taken up where it goes on, so that each is told once. */
function chainFaults(entries: readonly PlacedEntry[]): AuditFault[] {
  let head: ChainHead = chainStart;
  return entries.flatMap((entry) => {
    const problem = problemAfter(head, entry);
    head = { seq: entry.seq, hash: entry.hash };
    return problem === undefined ? [] : [{ file: entry.file, seq: entry.seq, problem }];
  });
}

function problemAfter(before: ChainHead, entry: SealedEntry): string | undefined {
  if (entry.seq !== before.seq + 1) return `Entry ${before.seq + 1} should stand here.`;
  return nextHead(before, entry.body).hash === entry.hash
    ? undefined
    : 'It, or what stands before it, was changed.';
}

interface ScriptLine {
  readonly kind?: unknown;
  readonly file?: unknown;
  readonly sha256?: unknown;
}

function scriptFaults(folder: string, entries: readonly SealedEntry[]): AuditFault[] {
  return entries.flatMap(({ body, seq }) => {
    const { kind, file, sha256: written } = JSON.parse(body) as ScriptLine;
    if (kind !== 'script' || typeof file !== 'string') return [];
    // A name from a file that somebody may have changed.
    const name = join('scripts', basename(file));
    const path = join(folder, name);
    if (!existsSync(path)) return [{ file: name, seq, problem: 'The script is missing.' }];
    return sha256(readFileSync(path)) === written
      ? []
      : [{ file: name, seq, problem: 'The script was changed.' }];
  });
}
