/** One gate for all that a round would change: the person sees the calls together, and may edit each. */
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import type { Gate } from '../gates/gate.js';
import type { Payload, Preview, RunTool, ToolScope } from '../tools/run-tool.js';
import type { Toolset } from '../tools/toolset.js';
import { decided, denial } from './gate-wait.js';
import type { ProposedCall, Ruling } from './round.js';
import type { RunContext } from './run-context.js';

/** A call as it stands in the payload of the gate. */
interface StepCall {
  /** Its place in the message. */
  readonly position: number;
  readonly tool: string;
  readonly payload: Payload;
}

/** A call that waits with others. */
export interface HeldCall extends ProposedCall {
  /** Its payload as it would be proposed now. @throws StompError when it would be refused */
  renew(): Promise<Payload>;
}

/** Where and with what the tools of the calls work. */
interface StepTools {
  readonly tools: Pick<Toolset, 'get'>;
  readonly scope: ToolScope;
}

/**
 * @param held those that have not begun; after a crash the gate may hold others as well
 * @returns by position
 */
export async function stepDecision(
  context: RunContext,
  held: readonly HeldCall[],
  n: number,
): Promise<ReadonlyMap<number, Ruling>> {
  const { systems, record, scope } = context;
  const calls = held.map(
    ({ effect: { position, tool, payload } }): StepCall => ({ position, tool, payload }),
  );
  const ticket = record.run.ticketId === undefined ? {} : { ticket_id: record.run.ticketId };
  const gate = await decided(context, {
    id: `${record.run.id}.${n}.step`,
    kind: 'step',
    payload: { ...ticket, calls },
    preview: (payload) => previewOf(callsOf(payload), { tools: systems.tools, scope }),
    watched: calls.flatMap(({ tool, payload }) => systems.tools.get(tool).touches?.(payload) ?? []),
    renew: async () => ({ ...ticket, calls: await Promise.all(held.map(renewedCall)) }),
  });
  const denied = denial(gate);
  const proposed = new Map(callsOf(gate.proposed).map((call) => [call.position, call.payload]));
  return new Map(
    callsOf(gate.payload).map(({ position, payload }): [number, Ruling] => [
      position,
      denied === undefined ? { payload, proposed: proposed.get(position) ?? payload } : { denied },
    ]),
  );
}

/** One that would be refused by now stays as it was: it says so in the preview. */
async function renewedCall({ effect, renew }: HeldCall): Promise<StepCall> {
  const { position, tool } = effect;
  const payload = await renew().catch((error: unknown) => {
    if (!(error instanceof StompError)) throw error;
    return effect.payload;
  });
  return { position, tool, payload };
}

/**
 * The gate's payload with what a person has changed in its calls.
 * @throws StompError INVALID_REQUEST, and what the tools say of the changed payloads
 */
export async function reviseStep(
  { payload: before }: Pick<Gate, 'payload'>,
  edits: Payload,
  tools: StepTools,
): Promise<{ payload: Payload; preview: Preview }> {
  const calls = callsOf(before);
  const edited = edits.calls;
  if (Object.keys(edits).some((name) => name !== 'calls')) refuse('edits', edits, 'changes of calls');
  if (!Array.isArray(edited) || edited.length !== calls.length) {
    return refuse('edits.calls', edited, `the ${calls.length} calls, some with another payload`);
  }
  const revised = await Promise.all(calls.map((call, at) => revisedCall(call, edited[at], at, tools)));
  const payload = { ...before, calls: revised };
  return { payload, preview: await previewOf(revised, tools) };
}

async function revisedCall(call: StepCall, given: unknown, at: number, tools: StepTools): Promise<StepCall> {
  const edited = (given ?? {}) as Partial<StepCall>;
  const isSame = edited.position === call.position && edited.tool === call.tool;
  const { payload } = edited;
  if (!isSame || typeof payload !== 'object' || payload === null) {
    refuse(`edits.calls[${at}]`, given, `the call of ${call.tool}, in its place`);
  }
  const gone = Object.keys(call.payload).find((name) => !Object.hasOwn(payload, name));
  if (gone !== undefined)
    refuse(`edits.calls[${at}].payload.${gone}`, undefined, 'there, with whatever value');
  const changed = changedFields(call.payload, payload);
  if (Object.keys(changed).length === 0) return call;
  const tool = tools.tools.get(call.tool);
  return { ...call, payload: await tool.edit(call.payload, changed, tools.scope) };
}

function changedFields(before: Payload, after: Payload): Payload {
  const changed = Object.entries(after).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
  );
  return Object.fromEntries(changed);
}

async function previewOf(calls: readonly StepCall[], { tools, scope }: StepTools): Promise<Preview> {
  const previews = await Promise.all(
    calls.map(({ tool, payload }) => previewOrWhyNot(tools.get(tool), payload, scope)),
  );
  const diffs = previews.flatMap(({ diff }) => (diff === undefined ? [] : [diff]));
  const titles = previews.map(({ title }) => title).join('; ');
  const title = calls.length === 1 ? titles : `${calls.length} calls: ${titles}`;
  return { title, ...(diffs.length > 0 ? { diff: diffs.join('\n') } : {}) };
}

/** One call that would fail keeps nobody from looking at the others. */
async function previewOrWhyNot(tool: RunTool, payload: Payload, scope: ToolScope): Promise<Preview> {
  try {
    return await tool.preview(payload, scope);
  } catch (error) {
    if (!(error instanceof StompError)) throw error;
    return { title: `${tool.name}, which would fail (${error.message})` };
  }
}

/** REQUIRES: the payload of a gate that was opened here. */
function callsOf(payload: Payload): readonly StepCall[] {
  return payload.calls as readonly StepCall[];
}
