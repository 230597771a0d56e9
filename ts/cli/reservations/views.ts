/** What the tools of reservations give, as people read it. Times are in UTC. Pure. */
import { type Column, plain, table } from '../table.js';
import { formatTime, plural } from '../units.js';

type Result = Readonly<Record<string, unknown>>;

interface Held {
  readonly address: string;
  readonly held_address: string;
  readonly run_id: string;
  readonly branch: string;
  readonly until: string;
}

interface Conflict {
  readonly conflict_type: string;
  readonly confidence: number;
  readonly agents: readonly string[];
  /** With the path of calls, where there is one. */
  readonly description: string;
}

interface Announcement {
  readonly reservation_id: string;
  readonly run_id: string;
  readonly branch: string;
  readonly addresses: readonly string[];
  readonly operation: string | null;
  readonly expires_at: string;
  readonly released_at?: string;
}

const columns = (...titles: string[]): Column[] => titles.map((title) => ({ title }));

function lines(...parts: readonly (string | readonly string[])[]): string {
  return parts.flat().map(plain).join('\n');
}

export function reservedView(result: Result): string {
  const one = result as unknown as Announcement & { held: readonly Held[]; conflicts?: readonly Conflict[] };
  const held = one.held.map(
    (it) => `  ${it.held_address} is reserved by ${it.run_id} on ${it.branch} until ${formatTime(it.until)}`,
  );
  const conflicts = one.conflicts?.flatMap(conflictLines);
  return lines(
    `${one.reservation_id}  ${plural(one.addresses.length, 'symbol')} until ${formatTime(one.expires_at)}`,
    held,
    conflicts?.length === 0 ? '  Nothing clashes with it.' : (conflicts ?? []),
  );
}

export function intentView(result: Result): string {
  const { intent_id, operation, addresses, expires_at } = result as unknown as {
    intent_id: string;
    operation: string;
    addresses: readonly string[];
    expires_at: string;
  };
  return lines(`${intent_id}  ${operation} ${addresses.join(', ')} until ${formatTime(expires_at)}`);
}

export function releasedView({ reservation_id }: Result): string {
  return lines(`${reservation_id}  released`);
}

export function renewedView({ reservation_id, expires_at }: Result): string {
  return lines(`${reservation_id}  until ${formatTime(String(expires_at))}`);
}

export function listView(result: Result): string {
  const { reservations, intents } = result as unknown as {
    reservations: readonly Announcement[];
    intents: readonly (Announcement & { intent_id: string })[];
  };
  const rows = [...reservations, ...intents].map((one) => [
    'intent_id' in one ? `intent ${one.intent_id}` : one.reservation_id,
    `${one.run_id}@${one.branch}`,
    one.operation ?? '',
    one.released_at ? `released ${formatTime(one.released_at)}` : formatTime(one.expires_at),
    one.addresses.join(', '),
  ]);
  if (rows.length === 0) return 'Nothing is reserved.';
  const shown = rows.map((row) => row.map(plain));
  return table(columns('RESERVATION', 'AGENT', 'OPERATION', 'UNTIL', 'ADDRESSES'), shown);
}

export function freeView({ addresses }: Result): string {
  return lines(`Free: ${(addresses as readonly string[]).join(', ')}`);
}

export function archivedView({ archived }: Result): string {
  return `${plural(Number(archived), 'record')} moved into the archive.`;
}

export function forecastView(result: Result): string {
  const { conflicts, active_reservations, intents, high_risk, medium_risk, low_risk } = result as unknown as {
    conflicts: readonly Conflict[];
    active_reservations: number;
    intents: number;
    high_risk: number;
    medium_risk: number;
    low_risk: number;
  };
  const announced = `${plural(active_reservations, 'reservation')} and ${plural(intents, 'intent')}`;
  if (conflicts.length === 0) return `${announced}: nothing clashes.`;
  return lines(
    `${announced}: ${plural(conflicts.length, 'conflict')} (${high_risk} high, ${medium_risk} medium, ${low_risk} low).`,
    conflicts.flatMap(conflictLines),
  );
}

function conflictLines({ confidence, conflict_type, agents, description }: Conflict): string[] {
  return [`  ${confidence.toFixed(2)}  ${conflict_type}  ${agents.join(' and ')}`, `      ${description}`];
}

export function impactView(result: Result): string {
  const { affected, files } = result as unknown as {
    affected: readonly { address: string; distance: number; path: readonly { callee: string }[] }[];
    files: readonly string[];
  };
  if (affected.length === 0) return 'Nobody calls it, as far as the code says.';
  return lines(
    `${plural(affected.length, 'caller')} in ${plural(files.length, 'file')}:`,
    affected.map(({ address, distance, path }) => {
      const via = path.slice(0, -1).map(({ callee }) => callee);
      return `  ${distance}  ${address}${via.length > 0 ? `  through ${via.join(', ')}` : ''}`;
    }),
  );
}

export function shardView(result: Result): string {
  const { parts, calls, cut_calls } = result as unknown as {
    parts: readonly { files: readonly string[]; symbols: number }[];
    calls: number;
    cut_calls: number;
  };
  return lines(
    parts.flatMap(({ files, symbols }, i) => [
      `Part ${i + 1}: ${plural(symbols, 'symbol')} in ${plural(files.length, 'file')}`,
      ...files.map((file) => `  ${file}`),
    ]),
    `${cut_calls} of ${plural(calls, 'call')} between files go from part to part.`,
  );
}

interface MergeResult {
  readonly is_clean: boolean;
  readonly ours: { readonly ref: string };
  readonly theirs: { readonly ref: string };
  readonly base: string | null;
  readonly files: readonly { path: string; status: string; is_deleted: boolean; reason: string }[];
  readonly conflicts: readonly {
    kind: string;
    symbols: readonly string[];
    description: string;
    recommendation: string;
    is_resolved: boolean;
  }[];
  readonly order: readonly string[];
  readonly written?: {
    readonly folder: string;
    readonly written: readonly string[];
    readonly deleted: readonly string[];
    readonly left_out: readonly { path: string; reason: string }[];
  };
}

export function mergeView(result: Result): string {
  const plan = result as unknown as MergeResult;
  const open = plan.conflicts.filter(({ is_resolved }) => !is_resolved);
  const settled = plan.conflicts.length - open.length;
  const state = plan.is_clean ? 'merges cleanly' : `has ${plural(open.length, 'open conflict')}`;
  const looked = settled > 0 ? `; ${settled} dealt with, to be looked at` : '';
  return lines(
    `${plan.theirs.ref} into ${plan.ours.ref}, base ${plan.base?.slice(0, 12) ?? 'none'}: ${state}${looked}.`,
    plan.files.map((file) => `  ${file.status.padEnd(8)}  ${file.is_deleted ? '- ' : ''}${file.path}`),
    plan.conflicts.flatMap((one) => [
      `${one.is_resolved ? 'dealt with' : 'CONFLICT'}  ${one.kind}  ${one.symbols.join(', ')}`,
      `      ${one.description}`,
      `      ${one.recommendation}`,
    ]),
    plan.order.length > 0 ? `Begin with: ${plan.order.join(', ')}` : [],
    plan.written ? writtenLines(plan.written) : [],
  );
}

function writtenLines({ folder, written, deleted, left_out }: NonNullable<MergeResult['written']>): string[] {
  return [
    `Written to ${folder}: ${plural(written.length, 'file')}.`,
    ...deleted.map((file) => `  to be deleted: ${file}`),
    ...left_out.map(({ path, reason }) => `  left out: ${path}: ${reason}`),
  ];
}

export function reconcileView(result: Result): string {
  const { into, order, skipped } = result as unknown as {
    into: { ref: string };
    order: readonly { branch: string; reason: string }[];
    skipped: readonly { branch: string; reason: string }[];
  };
  if (order.length === 0 && skipped.length === 0) return 'There are no other branches.';
  return lines(
    `Into ${into.ref}, in this order:`,
    order.map(({ branch, reason }, i) => `  ${i + 1}. ${branch}: ${reason}`),
    skipped.map(({ branch, reason }) => `  -  ${branch}: ${reason}`),
  );
}
