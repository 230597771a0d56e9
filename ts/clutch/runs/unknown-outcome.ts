/**
 * A call that was at work when its process ended. It may have been done, in part or not at all: what only looks, or comes
 * to the same when it is done twice, is done again; for all else a person looks, and says what is to be.
 */
import type { Outcome, Payload, RunTool } from '../tools/run-tool.js';
import type { Effect } from './effect-rows.js';
import { decided, denial } from './gate-wait.js';
import type { ProposedCall } from './round.js';
import type { RunContext } from './run-context.js';

const answers = ['it was done', 'it was not done', 'do it again'] as const;

/** `gateId`: where a person has said that it is to be done again. */
export type AfterCrash = { readonly outcome: Outcome } | { readonly again: true; readonly gateId?: string };

export async function afterCrash(
  context: RunContext,
  { call, effect }: ProposedCall,
  tool: RunTool,
): Promise<AfterCrash> {
  if (tool.kind !== 'write' || tool.repeatable) return { again: true };
  const question = `The process ended while this call of ${tool.name} was at work. Was it done? Look, and say what is to be.`;
  const payload: Payload = {
    question,
    choices: answers,
    answer: null,
    call: { id: call.id, tool: tool.name, payload: effect.payload },
  };
  const gate = await decided(context, {
    id: nextQuestion(effect),
    kind: 'ask',
    tool: tool.name,
    payload,
    preview: async () => ({ title: `${tool.name}: its outcome is unknown` }),
  });
  if (denial(gate) !== undefined) return unknown;
  const next = after[gate.payload.answer as (typeof answers)[number]] ?? unknown;
  return 'again' in next ? { again: true, gateId: gate.id } : next;
}

/** An answer counts for one start: a call that was begun again because of it and cut off once more is asked about anew. */
function nextQuestion({ runId, n, position, gateId = '' }: Effect): string {
  const first = `${runId}.${n}.${position}.unknown`;
  if (gateId === first) return `${first}.2`;
  if (!gateId.startsWith(`${first}.`)) return first;
  return `${first}.${Number(gateId.slice(first.length + 1)) + 1}`;
}

const unknown: AfterCrash = {
  outcome: {
    output:
      'The process ended while this call was at work. Whether it was done is not known; look before you go on.',
    failed: true,
  },
};

const after: Readonly<Record<(typeof answers)[number], AfterCrash>> = {
  'it was done': {
    outcome: {
      output:
        'The process ended while this call was at work. A person has looked: it was done. Its output is lost.',
      failed: false,
    },
  },
  'it was not done': {
    outcome: {
      output: 'The process ended while this call was at work. A person has looked: it was not done.',
      failed: true,
    },
  },
  'do it again': { again: true },
};
