/**
 * One round: all calls that a message asks for, in their order. Each is a row before it is anything else, so that a
 * worker that takes over finds what was proposed, begun and done.
 */
import { StompError } from '../../errors.js';
import { isWithin } from '../../paths.js';
import type { AssistantMessage, ToolCall, ToolResult } from '../conversation.js';
import type { GateKind } from '../gates/gate.js';
import { cutOutput, isSpent, type OutputBudget, spend, spentRefusal } from '../tools/limits.js';
import type { Outcome, Payload, Preview, RunTool } from '../tools/run-tool.js';
import { spawnName } from '../tools/spawn.js';
import { carryOut } from './carry-out.js';
import type { Effect } from './effect-rows.js';
import { decided, denial, speaker } from './gate-wait.js';
import type { RunContext } from './run-context.js';
import { type HeldCall, stepDecision } from './step-gate.js';
import { afterCrash } from './unknown-outcome.js';

export interface RoundResult {
  readonly results: readonly ToolResult[];
  readonly budget: OutputBudget;
}

/** A call that is known to be what its tool takes. */
export interface ProposedCall {
  readonly call: ToolCall;
  readonly effect: Effect;
}

/** What is to run, or what the model is told instead. */
export type Ruling = { readonly payload: Payload; readonly proposed: Payload } | { readonly denied: string };

/**
 * @param n number of the message
 * @throws AbortedAtGate; StompError LEASE_LOST, CANCELLED; what `stop` says
 */
export async function settleRound(
  context: RunContext,
  message: AssistantMessage,
  n: number,
): Promise<RoundResult> {
  const { outputBytes, warned } = context.record.run.state;
  let budget: OutputBudget = { bytes: outputBytes, warned };
  const round = await Round.begin(context, message, n, isSpent(budget));
  const results: ToolResult[] = [];
  for (const [position, call] of message.calls.entries()) {
    const { output, failed } = await round.settle(position, isSpent(budget));
    const spent = spend(budget, output);
    budget = spent.budget;
    results.push({ id: call.id, name: call.name, output: spent.output, failed });
  }
  return { results, budget };
}

class Round {
  readonly #context: RunContext;
  readonly #calls: readonly ToolCall[];
  readonly #n: number;
  readonly #effects: Map<number, Effect>;
  /** By position, where one gate holds them all. */
  #step: ReadonlyMap<number, Ruling> | undefined;

  private constructor(
    context: RunContext,
    calls: readonly ToolCall[],
    n: number,
    effects: readonly Effect[],
  ) {
    this.#context = context;
    this.#calls = calls;
    this.#n = n;
    this.#effects = new Map(effects.map((effect) => [effect.position, effect]));
  }

  static async begin(
    context: RunContext,
    { calls }: AssistantMessage,
    n: number,
    spent: boolean,
  ): Promise<Round> {
    const round = new Round(context, calls, n, await context.record.effects(n));
    if (context.record.run.request.gate === 'step' && !spent) await round.#holdTogether();
    return round;
  }

  /** The outcome as it counts against what the run may put out. */
  async settle(position: number, spent: boolean): Promise<Outcome> {
    const effect = await this.#effect(position, spent);
    if (effect.outcome) return effect.outcome;
    const call = this.#call(position);
    const tool = this.#toolOf(effect);
    if (typeof tool === 'string') return this.#end(effect, { output: tool, failed: true });
    if (effect.state === 'started') {
      const next = await afterCrash(this.#context, { call, effect }, tool);
      if ('outcome' in next) return this.#end(effect, next.outcome);
      return carryOut(this.#context, { call, effect }, tool, effect.payload, { again: next });
    }
    // In a step all are put down before the first is made.
    if (spent) return this.#end(effect, { output: spentRefusal, failed: true });
    const ruling = await this.#ruling(position, effect, tool);
    if ('denied' in ruling) return this.#end(effect, { output: ruling.denied, failed: true });
    return carryOut(this.#context, { call, effect }, tool, ruling.payload, { proposed: ruling.proposed });
  }

  /** Or why there is none: a server may be started with other tools than the one before. */
  #toolOf({ tool, position }: Effect): RunTool | string {
    try {
      return this.#context.systems.tools.get(tool);
    } catch (error) {
      return this.#refusal(error, this.#call(position));
    }
  }

  async #effect(position: number, spent: boolean): Promise<Effect> {
    const known = this.#effects.get(position);
    if (known) return known;
    const made = await this.#propose(position, spent);
    await this.#context.record.propose(made);
    this.#effects.set(position, made);
    return made;
  }

  async #propose(position: number, spent: boolean): Promise<Effect> {
    const { record, audit } = this.#context;
    const call = this.#call(position);
    audit.comms({ ...speaker(this.#context), direction: 'in', kind: 'tool_call', payload: call });
    const place = {
      runId: record.run.id,
      n: this.#n,
      position,
      tool: plainName(call.name),
      gateId: undefined,
    };
    const refused = (output: string): Effect => ({
      ...place,
      kind: 'read',
      payload: { arguments: call.arguments },
      state: 'ended',
      outcome: { output, failed: true },
    });
    if (spent) return refused(spentRefusal);
    try {
      const { tool, payload } = await this.#prepared(call);
      const gateId = this.#isHeld(tool) ? this.#gateId(position) : undefined;
      return { ...place, kind: tool.kind, payload, gateId, state: 'proposed', outcome: undefined };
    } catch (error) {
      return refused(this.#refusal(error, call));
    }
  }

  async #prepared(call: ToolCall): Promise<{ tool: RunTool; payload: Payload }> {
    const tool = this.#context.systems.tools.get(call.name);
    return { tool, payload: await tool.prepare(readJson(call.arguments), this.#context.scope) };
  }

  async #renewed(position: number): Promise<Payload> {
    return (await this.#prepared(this.#call(position))).payload;
  }

  /** What was refused stands in the audit, and the model is told why. */
  #refusal(error: unknown, call: ToolCall): string {
    if (!(error instanceof StompError)) throw error;
    const { code, message } = error;
    const payload = { call_id: call.id, tool: call.name, code, message };
    this.#context.audit.comms({ ...speaker(this.#context), direction: 'out', kind: 'refused', payload });
    return `${code}: ${message}`;
  }

  /** Whether a person is asked, unless a rule says otherwise. */
  #isHeld({ kind }: RunTool): boolean {
    return kind === 'ask' || (kind === 'write' && this.#context.record.run.request.gate !== 'none');
  }

  #gateId(position: number): string {
    return `${this.#context.record.run.id}.${this.#n}.${position}`;
  }

  async #ruling(position: number, effect: Effect, tool: RunTool): Promise<Ruling> {
    const asProposed = { payload: effect.payload, proposed: effect.payload };
    const step = this.#step?.get(position);
    if (step) return step;
    if (effect.gateId === undefined || (await this.#isAllowed(effect, tool))) return asProposed;
    const { scope, stop } = this.#context;
    let unfit: unknown;
    const preview = async (payload: Payload): Promise<Preview> => {
      try {
        return await tool.preview(payload, scope);
      } catch (error) {
        unfit = error;
        throw error;
      }
    };
    const { payload, gateId: id } = effect;
    try {
      const gate = await decided(this.#context, {
        id,
        kind: gateKindOf(tool),
        tool: tool.name,
        payload,
        preview,
        watched: tool.touches?.(payload) ?? [],
        renew: () => this.#renewed(position),
      });
      const denied = denial(gate);
      return denied === undefined ? { payload: gate.payload, proposed: gate.proposed } : { denied };
    } catch (error) {
      // Only what cannot be shown is no call at all: an end of the waiting decides nothing.
      if (error !== unfit || stop.aborted) throw error;
      return { denied: this.#refusal(error, this.#call(position)) };
    }
  }

  /** By a rule that a person has made at an earlier gate of this run. */
  async #isAllowed({ payload }: Effect, tool: RunTool): Promise<boolean> {
    if (gateKindOf(tool) !== 'confirm') return false;
    const { systems, record, scope } = this.#context;
    const rules = await systems.gates.rules(record.run.id);
    const touched = tool.touches?.(payload) ?? [scope.baseDir];
    return rules.some(
      (rule) => rule.tool === tool.name && touched.every((path) => isWithin(path, rule.folder)),
    );
  }

  /** All that the round would change waits at one gate; what only looks does not wait. */
  async #holdTogether(): Promise<void> {
    const held: HeldCall[] = [];
    for (const [position, call] of this.#calls.entries()) {
      const effect = await this.#effect(position, false);
      const isHeld = effect.state === 'proposed' && effect.gateId !== undefined;
      if (!isHeld) continue;
      const tool = this.#toolOf(effect);
      if (typeof tool === 'string') continue;
      if (gateKindOf(tool) === 'confirm' && !(await this.#isAllowed(effect, tool)))
        held.push({ call, effect, renew: () => this.#renewed(position) });
    }
    if (held.length > 0) this.#step = await stepDecision(this.#context, held, this.#n);
  }

  async #end(effect: Effect, outcome: Outcome): Promise<Outcome> {
    const call = this.#call(effect.position);
    const cut = { ...outcome, output: cutOutput(outcome.output) };
    await this.#context.record.end(effect, call, effect.payload, cut, 0);
    return cut;
  }

  #call(position: number): ToolCall {
    const call = this.#calls[position];
    if (!call) throw new RangeError(`The message has no call ${position}.`);
    return call;
  }
}

function gateKindOf(tool: RunTool): GateKind {
  if (tool.kind === 'ask') return 'ask';
  return tool.name === spawnName ? 'spawn' : 'confirm';
}

/** A model may call for what no tool is called. */
function plainName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64);
}

function readJson(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = `The arguments are no JSON: ${(error as Error).message}. Write the call again.`;
    throw new StompError('INVALID_REQUEST', message, { cause: error });
  }
}
