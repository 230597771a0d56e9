/** What the worker of one run has at hand. */
import type { RunAudit } from '../audit/run-audit.js';
import type { EventBus } from '../events/event-bus.js';
import type { Gate } from '../gates/gate.js';
import type { Gates } from '../gates/gates.js';
import type { Provider } from '../providers/provider.js';
import type { ToolScope } from '../tools/run-tool.js';
import type { Toolset } from '../tools/toolset.js';
import { pathRulesOf } from './new-run.js';
import type { Run } from './run.js';
import type { RecordSystems, RunRecord } from './run-record.js';

/** What all runs share. */
export interface RunSystems extends RecordSystems {
  readonly gates: Gates;
  readonly bus: EventBus;
  readonly tools: Toolset;
  /** @throws StompError INVALID_REQUEST */
  provider(name: string): Provider;
  readonly children: Children;
}

/** A run that another one begins. */
export interface ChildRequest {
  /** The same each time that the same child is asked for: it is begun once. */
  readonly id: string;
  readonly parent: Run;
  readonly ticketId?: string | undefined;
  readonly role: string;
  readonly prompt: string;
  readonly contextMd: string;
}

export interface Children {
  find(id: string): Promise<Run | undefined>;
  /** Begins it, or finds it, and waits for its end. @throws what the signal gives as its reason */
  finish(request: ChildRequest, signal: AbortSignal): Promise<Run>;
}

export interface RunContext {
  readonly systems: RunSystems;
  readonly record: RunRecord;
  readonly scope: ToolScope;
  readonly audit: RunAudit;
  /** The run is to be left as it is: waiting ends at once, a tool at work may come to its end. */
  readonly stop: AbortSignal;
}

/** A person has ended the whole run at a gate. */
export class AbortedAtGate extends Error {
  readonly gate: Gate;

  constructor(gate: Gate) {
    super(`The run ${gate.runId} was aborted at the approval ${gate.id}.`);
    this.gate = gate;
  }
}

/** Where and for whom the tools of a run work. */
export async function scopeOf(run: Run, signal: AbortSignal): Promise<ToolScope> {
  return {
    runId: run.id,
    agentId: run.agentId,
    sessionId: run.sessionId,
    baseDir: run.request.baseDir,
    paths: await pathRulesOf(run.request),
    signal,
  };
}
