/**
 * The tool loop of one run. All it knows is in rows, so that it can be begun again at any point by whoever takes the run
 * over: what is done next follows from the last message.
 */
import type { AssistantMessage, ToolMessage, ToolResult } from '../conversation.js';
import { refresh } from '../refresh.js';
import { withRefresh } from '../refresh-blocks.js';
import { askModel } from './ask-model.js';
import { lastRoundNote, maxRounds } from './prompt.js';
import { settleRound } from './round.js';
import type { RunContext } from './run-context.js';
import { workOnTrack } from './track.js';

/**
 * Works until the run is over.
 * @throws AbortedAtGate; StompError LEASE_LOST, CANCELLED, and those of providers; what `stop` says
 */
export async function workOn(context: RunContext): Promise<void> {
  const { record, stop } = context;
  if (record.run.request.tickets) return workOnTrack(context, record.run.request.tickets);
  while (record.run.endedAt === undefined) {
    stop.throwIfAborted();
    const last = record.messages.at(-1);
    if (last?.role === 'assistant') await finishRound(context, last);
    else await askModel(context);
  }
}

/** All calls of the message are answered, and files that have changed are told of. */
async function finishRound(context: RunContext, message: AssistantMessage): Promise<void> {
  const { record } = context;
  const { results, budget } = await settleRound(context, message, record.messages.length);
  const rounds = record.run.state.rounds + 1;
  const answered = { role: 'tool', results: rounds < maxRounds ? results : withNote(results) } as const;
  const { files, block } = await refresh(record.files);
  const state = { ...record.run.state, rounds, outputBytes: budget.bytes, warned: budget.warned };
  await record.say(withBlock(answered, block), { state }, [], files);
}

function withNote(results: readonly ToolResult[]): ToolResult[] {
  const last = results.length - 1;
  return results.map((result, at) => {
    return at === last ? { ...result, output: result.output + lastRoundNote } : result;
  });
}

function withBlock(message: ToolMessage, block: string | undefined): ToolMessage {
  if (block === undefined) return message;
  const [refreshed] = withRefresh([message], block);
  return refreshed?.role === 'tool' ? refreshed : message;
}
