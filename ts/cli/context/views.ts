/** What the tools of the context give, as people read it. Times are in UTC. Pure. */
import type {
  AgentSession,
  AuditReport,
  ContextEvent,
  Entry,
  LeftTable,
  Project,
  StateDrift,
  TableContent,
} from '../../context/index.js';
import { type Column, plain, table } from '../table.js';
import { formatTime, plural } from '../units.js';

type Result = Readonly<Record<string, unknown>>;

const columns = (...titles: string[]): Column[] => titles.map((title) => ({ title }));

function rowsOf(titles: Column[], rows: readonly (readonly string[])[], nothing: string): string {
  if (rows.length === 0) return nothing;
  return table(
    titles,
    rows.map((row) => row.map(plain)),
  );
}

export function sessionsView({ sessions }: Result): string {
  const rows = (sessions as readonly AgentSession[]).map((one) => [
    one.session_id,
    one.agent_id,
    one.reason === null ? one.status : `${one.status} (${one.reason})`,
    formatTime(one.started_at),
    formatTime(one.expires_at),
  ]);
  return rowsOf(columns('SESSION', 'AGENT', 'STATUS', 'STARTED', 'EXPIRES'), rows, 'There are no sessions.');
}

export function projectsView({ projects }: Result): string {
  const rows = (projects as readonly Project[]).map((one) => [
    one.name,
    one.root,
    one.tags.join(', '),
    one.description,
  ]);
  return rowsOf(columns('NAME', 'ROOT', 'TAGS', 'DESCRIPTION'), rows, 'There are no projects.');
}

/** `version  3`, a line for each field. */
export function fieldsView(result: Result): string {
  const fields = Object.entries(result).flatMap(([name, value]) =>
    isRecord(value) && name === 'details' ? Object.entries(value) : [[name, value] as const],
  );
  const width = Math.max(0, ...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${shown(name, value)}`.trimEnd()).join('\n');
}

export function detailsView({ details }: Result): string {
  return fieldsView(details as Result);
}

/** What a transfer has moved, then what it has left behind, a line for each reason. */
export function movedView({ source, tables, left }: Result): string {
  const moved = (tables as readonly TableContent[]).map(
    (one) => `${one.table}: ${plural(one.rows, 'row')}, equal in both`,
  );
  const stays = new Map<string, string[]>();
  for (const { table, rows, why } of left as readonly LeftTable[])
    stays.set(why, [...(stays.get(why) ?? []), `${table} (${plural(rows, 'row')})`]);
  if (stays.size === 0) return moved.join('\n');
  const kept = [...stays].map(([why, those]) => `  ${those.join(', ')}: ${why}.`);
  return [...moved, `Left behind in ${source}, no part of the context:`, ...kept].join('\n');
}

export function entriesView({ entries, page, pages, total }: Result): string {
  const list = entries as readonly Partial<Entry>[];
  const lines = list.map(lineOf);
  return [
    ...lines,
    `${plural(Number(total), 'entry').replace('entrys', 'entries')}, page ${page} of ${pages}.`,
  ].join('\n');
}

export function writtenView(result: Result): string {
  const { entries, duplicates, log } = result as unknown as {
    entries: readonly Entry[];
    duplicates: readonly string[];
    log: { path: string; written: boolean; error?: { message: string } };
  };
  const known = duplicates.length === 0 ? '' : ` (${duplicates.length} known already)`;
  const where = log.written
    ? `in ${log.path}`
    : `stored; ${log.path} is behind: ${log.error?.message ?? 'it could not be written'}`;
  return [...entries.map(lineOf), `Written${known}, ${where}`].map(plain).join('\n');
}

export function eventsView({ events }: Result): string {
  const rows = (events as readonly ContextEvent[]).map((one) => [
    String(one.id),
    formatTime(one.created_at),
    one.agent_id,
    one.event_type,
    one.from_project ?? '',
    one.to_project ?? '',
    one.actual_version === null ? '' : String(one.actual_version),
    one.session_id ?? '',
  ]);
  const titles = columns('ID', 'TIME', 'AGENT', 'EVENT', 'FROM', 'TO', 'VERSION', 'SESSION');
  return rowsOf(titles, rows, 'Nothing has happened.');
}

export function verifyView({ drift }: Result): string {
  const found = drift as readonly StateDrift[];
  if (found.length === 0) return 'The state file says what the database says.';
  return found.map(({ subject, problem }) => plain(`${subject}: ${problem}`)).join('\n');
}

export function auditView({ reports }: Result): string {
  const list = reports as readonly AuditReport[];
  const lines = list.flatMap(({ project, ok, files, lines: count, problems }) => [
    `${project}: ${ok ? 'whole' : 'damaged'}, ${plural(count, 'line')} in ${plural(files.length, 'file')}`,
    ...problems.map(
      ({ file, line, problem }) => `  ${file ?? 'database'}${line === null ? '' : `:${line}`}: ${problem}`,
    ),
  ]);
  return lines.length === 0 ? 'There are no projects.' : lines.map(plain).join('\n');
}

/** With `fields` there is less in an entry. */
function lineOf({ ts, status, agent, project, message, ...rest }: Partial<Entry>): string {
  const parts = [ts === undefined ? undefined : formatTime(ts), status, agent, project, message];
  const given = parts.filter((part) => part !== undefined);
  return plain(given.length > 0 ? given.join('  ') : JSON.stringify(rest));
}

function shown(name: string, value: unknown): string {
  if (typeof value === 'number' && /_at$/.test(name)) return formatTime(value);
  if (typeof value === 'string') return plain(value);
  return value === null ? '(none)' : JSON.stringify(value);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
