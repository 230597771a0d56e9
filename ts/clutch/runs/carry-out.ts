/** A call that may be made is made: what it runs stands in the audit and in its row before anything is done. */
import { StompError } from '../../errors.js';
import { cutOutput } from '../tools/limits.js';
import type { Outcome, Payload, RunTool } from '../tools/run-tool.js';
import type { Restart } from './effect-rows.js';
import { speaker } from './gate-wait.js';
import type { ProposedCall } from './round.js';
import type { RunContext } from './run-context.js';

export interface CarryOutOptions {
  /** As the model wrote it, where a person may have changed it. */
  readonly proposed?: Payload;
  /** It was begun before, and may be begun again. @default it was not */
  readonly again?: Restart;
}

/** @throws StompError LEASE_LOST; CANCELLED when the run is aborted meanwhile: what was done by then is unknown */
export async function carryOut(
  context: RunContext,
  { call, effect }: ProposedCall,
  tool: RunTool,
  payload: Payload,
  { proposed = payload, again }: CarryOutOptions,
): Promise<Outcome> {
  const { record, audit, scope } = context;
  context.stop.throwIfAborted();
  noteScript(context, call.id, proposed, payload);
  const heads = await audit.sync();
  await record.start(effect, call, payload, { again, heads });
  const began = performance.now();
  const callKey = `${effect.runId}.${effect.n}.${effect.position}`;
  const outcome = await outcomeOf(context, () => tool.run(payload, { ...scope, callKey }));
  const ms = performance.now() - began;
  const cut = { ...outcome, output: cutOutput(outcome.output) };
  audit.toolCall({ id: call.id, name: tool.name, payload, ...cut, durationMs: ms });
  const { output, failed } = cut;
  const result = { call_id: call.id, tool: tool.name, payload, output, failed };
  audit.comms({ ...speaker(context), direction: 'out', kind: 'tool_result', payload: result });
  await record.end(effect, call, payload, cut, ms);
  return cut;
}

/** A tool that has a fault of its own has failed; the run goes on. */
async function outcomeOf({ systems, scope }: RunContext, work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    if (scope.signal.aborted) throw error;
    systems.onWarning(error);
    const why = error instanceof StompError ? `${error.code}: ${error.message}` : String(error);
    return { output: why, failed: true };
  }
}

/** Scripts are kept in files of their own, as they were proposed and as they ran. */
function noteScript({ audit }: RunContext, callId: string, proposed: Payload, payload: Payload): void {
  const { script } = payload;
  if (typeof script !== 'string') return;
  const before = typeof proposed.script === 'string' ? proposed.script : script;
  audit.script({ callId, proposed: before, ...(before === script ? {} : { edited: script }) });
}
