/** One question to the run's model, and its answer as a message. */
import type { RunAudit } from '../audit/run-audit.js';
import type { AssistantMessage, ToolSpec } from '../conversation.js';
import type { Provider, ProviderAnswer, ProviderRequest } from '../providers/provider.js';
import { speaker } from './gate-wait.js';
import { LiveText } from './live-text.js';
import { contextTexts, maxRounds, stoppedText, systemText } from './prompt.js';
import type { Run, RunState } from './run.js';
import type { RunContext } from './run-context.js';
import type { RunChange } from './run-rows.js';

/** @throws StompError of the provider; LEASE_LOST; what `stop` says */
export async function askModel(context: RunContext): Promise<void> {
  const { record, audit, systems, stop } = context;
  const { request, state } = record.run;
  const round = state.rounds + 1;
  const sent = { round, ...speaker(context), messages: record.messages.length };
  await record.change({ status: 'sending' }, { type: 'request_start', body: sent });
  const system = systemText(request);
  const contexts = contextTexts(request, record.files);
  audit.comms({
    ...speaker(context),
    direction: 'out',
    kind: 'request',
    // What was sent before is above, in this file.
    payload: { ...sent, ...(round === 1 ? { system, context: contexts } : {}), last: record.messages.at(-1) },
  });
  const began = performance.now();
  const live = new LiveText(systems.bus, record.run.id);
  const provider = systems.provider(request.provider);
  const answer = await provider.send(
    {
      model: request.model,
      system,
      context: contexts,
      messages: record.messages,
      ...toolsFor(provider, record.run, systems.tools.specs),
      temperature: request.temperature,
      maxTokens: request.maxTokens,
      agentId: record.run.agentId,
      signal: stop,
    },
    (event) => live.add(event),
  );
  await live.end();
  audit.comms({ ...speaker(context), direction: 'in', kind: 'response', payload: answer });
  const { finish, text, calls } = answer;
  const ms = Math.round(performance.now() - began);
  const received = { round, finish, ms, text, calls: [...calls] };
  await record.say(messageOf(answer, request.provider), await witnessed(changeOf(answer, state), audit), [
    { type: 'response_received', body: received },
  ]);
}

function toolsFor(
  { takesTools }: Provider,
  { request, state }: Run,
  tools: readonly ToolSpec[],
): Pick<ProviderRequest, 'tools' | 'mustCall'> {
  if (!takesTools) return { tools: [] };
  return { tools, mustCall: state.rounds === 0 ? request.firstTool : undefined };
}

function messageOf({ text, calls, kept }: ProviderAnswer, provider: string): AssistantMessage {
  return {
    role: 'assistant',
    text,
    calls,
    ...(kept === undefined ? {} : { kept: { provider, content: kept } }),
  };
}

/** At the end of a run, whether the end of its audit is there can be told from its row. */
async function witnessed(change: RunChange, audit: RunAudit): Promise<RunChange> {
  if (!change.ended || !change.state) return change;
  return { ...change, state: { ...change.state, auditHeads: await audit.sync() } };
}

/** The run is over when the model asks for nothing more, or may not. */
function changeOf({ text, calls, finish, usage }: ProviderAnswer, before: RunState): RunChange {
  const state: RunState = {
    ...before,
    usage: {
      input: before.usage.input + usage.input,
      cached: before.usage.cached + usage.cached,
      output: before.usage.output + usage.output,
    },
  };
  const isSpent = before.rounds >= maxRounds;
  if (calls.length > 0 && !isSpent) return { state };
  const stopped = calls.length > 0 ? 'rounds' : finish === 'length' ? 'length' : undefined;
  const output = text === '' && stopped === 'rounds' ? stoppedText : text;
  return {
    status: 'done',
    ended: true,
    state: { ...state, output, ...(stopped === undefined ? {} : { stopped }) },
  };
}
