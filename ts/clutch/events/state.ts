/**
 * What all events so far have come to: what a person sees. One reducer makes it, here and in the dashboard, so that both
 * see the same. No import of Node.
 */
import type { ApprovalWire, RuleWire, RunChangeWire, RunWire } from '../wire.js';
import type { ClutchEvent, EventType } from './event.js';

/** How this process is; measured, not recorded. */
export interface SystemSample {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Of one core. */
  readonly cpu_percent: number;
  readonly rss_bytes: number;
  readonly heap_bytes: number;
  /** How late the event loop was: 99 of 100 times not later than this. */
  readonly loop_delay_p99_ms: number;
  /** Events that wait to be recorded. */
  readonly queue_depth: number;
}

/** What a run does at this moment. */
export interface LiveRun {
  readonly round: number;
  /** Of the current round, the last 65,536 characters. */
  readonly text: string;
  readonly reasoning: string;
  /** Calls that are carried out now. */
  readonly tools: readonly { readonly call_id: string; readonly tool: string }[];
  /** It asks the provider again, after a wait. */
  readonly retry?: { readonly attempt: number; readonly reason: string };
}

/** What was said and done, cut to 2,000 characters each. */
export type Activity =
  | { readonly seq: number; readonly at: number; readonly kind: 'said'; readonly text: string }
  | {
      readonly seq: number;
      readonly at: number;
      readonly kind: 'call';
      readonly call_id: string;
      readonly tool: string;
      /** JSON. */
      readonly text: string;
    }
  | {
      readonly seq: number;
      readonly at: number;
      readonly kind: 'outcome';
      readonly call_id: string;
      readonly tool: string;
      readonly text: string;
      readonly failed: boolean;
      readonly ms?: number;
    };

export interface RunView extends RunWire {
  /** While it goes on. */
  readonly live?: LiveRun;
  /** The last 50, oldest first. */
  readonly activity: readonly Activity[];
}

/** Plain JSON. What has not changed from one state to the next is the same object. */
export interface ClutchState {
  /** The last event that is in it. */
  readonly seq: number;
  /** All that are not over, and the last 200 that are. */
  readonly runs: Readonly<Record<string, RunView>>;
  /** All that are pending, and the last 100 that are decided. */
  readonly approvals: Readonly<Record<string, ApprovalWire>>;
  readonly rules: Readonly<Record<string, RuleWire>>;
  readonly system?: SystemSample;
}

export const mostEndedRuns = 200;
export const mostDecidedApprovals = 100;
const mostActivity = 50;
const longestLive = 65_536;
const longestItem = 2000;

export function emptyState(): ClutchState {
  return { seq: 0, runs: {}, approvals: {}, rules: {} };
}

/** As rows show it: without what streams. */
export interface KnownRows {
  /** The last event that is in them. */
  readonly seq: number;
  readonly runs: readonly RunWire[];
  readonly approvals: readonly ApprovalWire[];
  readonly rules: readonly RuleWire[];
}

export function stateOf({ seq, runs, approvals, rules }: KnownRows): ClutchState {
  return {
    seq,
    runs: keepEnded(byId(runs.map((run) => ({ ...run, activity: [] })))),
    approvals: keepDecided(byId(approvals)),
    rules: byId(rules),
  };
}

/** The state after one more event; the same when it is in it already. */
export function reduce(state: ClutchState, event: ClutchEvent): ClutchState {
  if (event.seq <= state.seq) return state;
  return { ...state, ...change(state, event), seq: event.seq };
}

type Changed = Partial<Omit<ClutchState, 'seq' | 'system'>>;

function change(state: ClutchState, event: ClutchEvent): Changed {
  switch (event.type) {
    case 'run_started':
      return started(state, event.body.run);
    case 'run_changed':
      return changed(state, event.body.run);
    case 'gate_opened':
    case 'gate_changed':
    case 'gate_decided':
      return { approvals: keepDecided(put(state.approvals, event.body.approval)) };
    case 'rule_made':
      return { rules: put(state.rules, event.body.rule) };
    case 'rule_revoked':
      return { rules: without(state.rules, [event.body.rule.id]) };
    default:
      return streamed(state, event);
  }
}

function started({ runs }: ClutchState, run: RunWire): Changed {
  return { runs: keepEnded(put(runs, { ...run, activity: runs[run.id]?.activity ?? [] })) };
}

function changed({ runs }: ClutchState, change: RunChangeWire): Changed {
  const known = runs[change.id];
  if (!known) return {};
  const { live, ...rest } = { ...known, ...change };
  if (rest.ended_at !== undefined) return { runs: keepEnded(put(runs, rest)) };
  return { runs: put(runs, live ? { ...rest, live } : rest) };
}

type Streamed = ClutchEvent<
  Extract<EventType, 'request_start' | 'text' | 'text_reset' | 'response_received' | 'tool_execution'>
>;

/** What goes on in a run that is not over. */
function streamed({ runs }: ClutchState, event: Streamed): Changed {
  const run = runs[event.run_id];
  if (!run) return {};
  const activity = added(run.activity, activityOf(event));
  if (run.ended_at !== undefined) return { runs: put(runs, { ...run, activity }) };
  return { runs: put(runs, { ...run, activity, live: liveAfter(run, event) }) };
}

function liveAfter({ live, rounds }: RunView, event: Streamed): LiveRun {
  const before = live ?? { round: rounds, text: '', reasoning: '', tools: [] };
  switch (event.type) {
    case 'request_start':
      return { round: event.body.round, text: '', reasoning: '', tools: [] };
    case 'text':
      return withText(before, event.body);
    case 'text_reset': {
      const { attempt, reason } = event.body;
      return { ...before, text: '', reasoning: '', retry: { attempt, reason } };
    }
    case 'response_received':
      return { round: event.body.round, text: '', reasoning: '', tools: before.tools };
    default:
      return withTool(before, event.body);
  }
}

function withText(before: LiveRun, more: { text: string; reasoning: string }): LiveRun {
  const { retry: _over, ...live } = before;
  return {
    ...live,
    text: end(live.text + more.text, longestLive),
    reasoning: end(live.reasoning + more.reasoning, longestLive),
  };
}

function withTool(live: LiveRun, { phase, call_id, tool }: ClutchEvent<'tool_execution'>['body']): LiveRun {
  const others = live.tools.filter((one) => one.call_id !== call_id);
  return { ...live, tools: phase === 'start' ? [...others, { call_id, tool }] : others };
}

function activityOf({ seq, at, type, body }: Streamed): Activity | undefined {
  if (type === 'response_received')
    return body.text === '' ? undefined : { seq, at, kind: 'said', text: cut(body.text) };
  if (type !== 'tool_execution') return undefined;
  const { phase, call_id, tool, payload, output = '', failed = false, ms } = body;
  if (phase === 'start') return { seq, at, kind: 'call', call_id, tool, text: cut(JSON.stringify(payload)) };
  const outcome: Activity = { seq, at, kind: 'outcome', call_id, tool, text: cut(output), failed };
  return ms === undefined ? outcome : { ...outcome, ms };
}

function added(activity: readonly Activity[], one: Activity | undefined): readonly Activity[] {
  return one ? [...activity, one].slice(-mostActivity) : activity;
}

function keepEnded(runs: ClutchState['runs']): ClutchState['runs'] {
  return keepNewest(runs, mostEndedRuns, (run) => run.ended_at);
}

function keepDecided(approvals: ClutchState['approvals']): ClutchState['approvals'] {
  return keepNewest(approvals, mostDecidedApprovals, (approval) =>
    approval.status === 'pending' ? undefined : (approval.decided_at ?? 0),
  );
}

/** @param over when one was over; those that are not stay in any case */
function keepNewest<T extends { readonly id: string }>(
  all: Readonly<Record<string, T>>,
  most: number,
  over: (one: T) => number | undefined,
): Readonly<Record<string, T>> {
  const ended = Object.values(all).filter((one) => over(one) !== undefined);
  if (ended.length <= most) return all;
  const order = (a: T, b: T) => (over(b) ?? 0) - (over(a) ?? 0) || (a.id < b.id ? -1 : 1);
  const gone = ended.sort(order).slice(most);
  return without(
    all,
    gone.map(({ id }) => id),
  );
}

function byId<T extends { readonly id: string }>(all: readonly T[]): Record<string, T> {
  return Object.fromEntries(all.map((one) => [one.id, one]));
}

function put<T extends { readonly id: string }>(all: Readonly<Record<string, T>>, one: T): Record<string, T> {
  return { ...all, [one.id]: one };
}

function without<T>(all: Readonly<Record<string, T>>, ids: readonly string[]): Record<string, T> {
  const rest = { ...all };
  for (const id of ids) delete rest[id];
  return rest;
}

function cut(text: string): string {
  if (text.length <= longestItem) return text;
  // A character of two units is kept whole or left out.
  return text.slice(0, isHigh(text.charCodeAt(longestItem - 1)) ? longestItem - 1 : longestItem);
}

/** The last characters. */
function end(text: string, most: number): string {
  if (text.length <= most) return text;
  const start = text.length - most;
  return text.slice(isHigh(text.charCodeAt(start - 1)) ? start + 1 : start);
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}
