/** `audit verify`: whether the audit of a session is whole, down to where its runs say that it was. */
import { existsSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { AuditHeads } from '../../clutch/audit/run-audit.js';
import { type AuditReport, verifyAudit } from '../../clutch/audit/verify.js';
import { listRuns } from '../../clutch/runs/run-rows.js';
import type { RunDetailWire, RunWire } from '../../clutch/wire.js';
import type { Resolved } from '../../config/index.js';
import { StompError } from '../../errors.js';
import { isPostgres, openStorage } from '../../storage/open.js';
import { print, type Terminal } from '../terminal.js';
import { ClutchClient } from './client.js';
import { auditView } from './views.js';

const mostRuns = 1000;

/** By whose word the ends of the files were checked, or why they were not. */
export type EndCheck =
  | { readonly checked: true; readonly runs: number; readonly source: string }
  | { readonly checked: false; readonly why: string };

/** What is said of a folder. */
export interface FolderReport extends AuditReport {
  readonly ends: EndCheck;
}

interface Witnesses {
  readonly heads: readonly AuditHeads[];
  readonly source: string;
}

/**
 * @returns the exit code: 1 when something is not as it was written
 * @throws StompError CONFIG_INVALID for what is no audit
 */
export async function verifyFolder(
  folder: string,
  resolved: Resolved,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const path = resolve(folder);
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw noAudit(folder);
  const { heads, ends } = await endsOf(basename(path), resolved);
  const report: FolderReport = { ...verifyAudit(path, heads), ends };
  if (report.entries === 0 && report.faults.length === 0) throw noAudit(folder);
  print(terminal, json ? JSON.stringify(report, undefined, 2) : auditView(report));
  return report.faults.length === 0 ? 0 : 1;
}

async function endsOf(
  session: string,
  resolved: Resolved,
): Promise<{ heads: readonly AuditHeads[]; ends: EndCheck }> {
  try {
    const { heads, source } = await witnessesOf(session, resolved);
    const runs = heads.length;
    if (runs > 0) return { heads, ends: { checked: true, runs, source } };
    const why = `no run of the session ${session} has said in ${source} where they are`;
    return { heads, ends: { checked: false, why } };
  } catch (error) {
    if (!(error instanceof StompError)) throw error;
    return { heads: [], ends: { checked: false, why: error.message } };
  }
}

/** Of the database that is named; else of the server that runs, or of its database while none does. */
async function witnessesOf(session: string, resolved: Resolved): Promise<Witnesses> {
  const { settings, origins } = resolved;
  if (origins.database.startsWith('--')) return inDatabase(session, settings.database);
  const client = await ClutchClient.open(resolved, undefined);
  try {
    return await atServer(session, client);
  } catch (error) {
    const isAway = error instanceof StompError && error.code === 'NOT_FOUND';
    if (!isAway || !isThere(settings.database)) throw error;
    return inDatabase(session, settings.database);
  }
}

async function atServer(session: string, client: ClutchClient): Promise<Witnesses> {
  const query = `session_id=${encodeURIComponent(session)}&limit=${mostRuns}`;
  const { data } = await client.json<{ data: RunWire[] }>('GET', `/v1/runs?${query}`);
  const heads: AuditHeads[] = [];
  for (const { id } of data) {
    const path = `/v1/runs/${encodeURIComponent(id)}`;
    const { audit_heads: head } = await client.json<RunDetailWire>('GET', path);
    if (head) heads.push(head);
  }
  return { heads, source: `the server at ${client.url}` };
}

/** @throws StompError DB_BUSY, CONFIG_INVALID; NOT_FOUND for one that is not there: looking makes none */
async function inDatabase(session: string, address: string): Promise<Witnesses> {
  const source = isPostgres(address) ? 'the database' : `the database ${address}`;
  if (!isThere(address)) throw new StompError('NOT_FOUND', `there is no ${source.slice('the '.length)}`);
  const storage = await openStorage(address);
  try {
    const filter = { status: undefined, parentId: undefined, sessionId: session, limit: mostRuns };
    const runs = await storage.read(() => listRuns(filter));
    const heads = runs.map(({ state }) => state.auditHeads).filter((head) => head !== undefined);
    return { heads, source };
  } catch (cause) {
    if (cause instanceof StompError) throw cause;
    // Such as one without the tables of the clutch.
    throw new StompError('NOT_FOUND', `${source} has no runs (${(cause as Error).message})`, { cause });
  } finally {
    await storage.close();
  }
}

function isThere(database: string): boolean {
  return isPostgres(database) || existsSync(database);
}

function noAudit(folder: string): StompError {
  return new StompError('CONFIG_INVALID', `${folder} holds no audit: name the folder of one session.`, {
    fields: { field: 'folder', value: folder },
  });
}
