/** A run at a gate: opened once, kept true to what would happen, and waited for. */
import { lstat } from 'node:fs/promises';
import { StompError } from '../../errors.js';
import { digestOf, type Gate, isGranted } from '../gates/gate.js';
import type { GateRequest } from '../gates/gates.js';
import type { Payload, Preview } from '../tools/run-tool.js';
import { AbortedAtGate, type RunContext } from './run-context.js';
import { persist } from './run-record.js';

/** How often it is looked whether what is shown is still what would happen. */
const lookAgainMs = 2000;
/** Of so many looks one reads files that look untouched: somebody else may have held them, or their times do not tell. */
const readAnyway = 30;

export interface GateQuestion extends Pick<GateRequest, 'id' | 'kind' | 'tool' | 'ticketId' | 'payload'> {
  /** @throws StompError when it would fail for certain: then nobody needs to be asked */
  preview(payload: Payload): Promise<Preview>;
  /** Files whose changes may change what is shown. @default none */
  readonly watched?: readonly string[];
  /**
   * The payload as it would be proposed now: for the file as it is.
   * @default as it was
   * @throws StompError when it would be refused
   */
  renew?(): Promise<Payload>;
}

/**
 * @returns the gate once it is decided, or its time is over
 * @throws AbortedAtGate; what the preview throws, when the gate has not been opened before; what `stop` says
 */
export async function decided(context: RunContext, question: GateQuestion): Promise<Gate> {
  const { systems, record, audit, stop } = context;
  const opened = await openGate(context, question);
  if (opened.status === 'pending') await record.change({ status: 'awaiting_approval' });
  const watch = watchPreview(context, question);
  try {
    const gate = await systems.gates.settled(opened.id, stop);
    audit.comms({ ...speaker(context), direction: 'in', kind: 'gate', payload: noted(gate) });
    if (gate.status === 'aborted') throw new AbortedAtGate(gate);
    return gate;
  } finally {
    clearInterval(watch);
  }
}

async function openGate(context: RunContext, question: GateQuestion): Promise<Gate> {
  const { systems, record, audit, stop } = context;
  const known = await findGate(context, question.id);
  if (known) return known;
  const { preview, watched: _watched, renew: _renew, ...shown } = question;
  const { run } = record;
  const request: GateRequest = {
    ticketId: run.ticketId,
    ...shown,
    runId: run.id,
    preview: await preview(question.payload),
    requester: run.agentId,
    timeoutMs: run.request.gateTimeoutMs,
  };
  const gate = await persist(() => systems.gates.open(request), stop, systems);
  audit.comms({ ...speaker(context), direction: 'out', kind: 'gate', payload: noted(gate) });
  await audit.sync();
  return gate;
}

async function findGate({ systems, stop }: RunContext, id: string): Promise<Gate | undefined> {
  try {
    return await persist(() => systems.gates.get(id), stop, systems);
  } catch (error) {
    if (error instanceof StompError && error.code === 'APPROVAL_NOT_FOUND') return undefined;
    throw error;
  }
}

/**
 * A file may change while nobody decides. What cannot be shown any more stays as it was: it will fail when it runs. A file
 * that nobody has touched is hardly ever read again: reading takes a lease, and a gate may wait for days.
 */
function watchPreview({ systems }: RunContext, question: GateQuestion): NodeJS.Timeout {
  const { id, watched = [] } = question;
  let seen: string | undefined;
  let skipped = 0;
  let isLooking = false;
  const look = async (): Promise<void> => {
    const stamp = await stampOf(watched);
    if (stamp === seen && ++skipped < readAnyway) return;
    skipped = 0;
    const gate = await systems.gates.get(id);
    if (gate.status !== 'pending') return;
    const payload = (await question.renew?.()) ?? gate.payload;
    const shown = { payload, preview: await question.preview(payload) };
    if (digestOf({ kind: gate.kind, ...shown }) !== gate.digest) await systems.gates.show(id, shown);
    seen = stamp;
  };
  const once = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    try {
      await look();
    } catch (error) {
      if (!(error instanceof StompError)) systems.onWarning(error);
    } finally {
      isLooking = false;
    }
  };
  return setInterval(() => void once(), lookAgainMs).unref();
}

/** Tells one state of files from another, as far as their times, sizes and inodes do. */
async function stampOf(paths: readonly string[]): Promise<string> {
  const stamps = paths.map(async (path) => {
    const stats = await lstat(path, { bigint: true }).catch(() => undefined);
    return stats ? [stats.mtimeNs, stats.ctimeNs, stats.size, stats.ino].join(' ') : 'none';
  });
  return (await Promise.all(stamps)).join();
}

function noted(gate: Gate): object {
  const { id, kind, tool, status, revision, proposed, payload, preview, digest, decidedBy, reason } = gate;
  return {
    id,
    kind,
    tool,
    status,
    revision,
    proposed,
    payload,
    preview,
    digest,
    decided_by: decidedBy,
    reason,
  };
}

export function speaker({ record }: Pick<RunContext, 'record'>): { provider: string; model: string } {
  const { provider, model } = record.run.request;
  return { provider, model };
}

/** What a model is told of a call that a person has not let through. */
export function denial(gate: Gate): string | undefined {
  if (isGranted(gate)) return undefined;
  if (gate.status === 'expired') return 'Not done: nobody decided about this call in time, so it was denied.';
  const why = gate.reason === undefined ? ', without a reason' : `: ${gate.reason}`;
  return `Not done: a person has rejected this call${why}`;
}
