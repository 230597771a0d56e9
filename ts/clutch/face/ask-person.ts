/** Asks the person behind a client for decisions on the run that the client waits for. */
import { StompError } from '../../errors.js';
import type { Answer, Person, Question } from '../../tools/tool.js';
import type { Clutch } from '../clutch.js';
import type { Gate } from '../gates/gate.js';
import type { ApprovalWire } from '../wire.js';
import { decide } from './decide.js';
import type { DecisionArguments } from './parameters.js';

/** Somebody else was faster, or what was shown is no longer what would happen. */
const overtaken: readonly StompError['code'][] = ['APPROVAL_DECIDED', 'APPROVAL_EXPIRED', 'APPROVAL_CHANGED'];

export class PersonAtClient {
  readonly #clutch: Clutch;
  readonly #person: Person;
  /** Id and revision: each is asked about once, also when the person does not answer. */
  readonly #asked = new Set<string>();

  constructor(clutch: Clutch, person: Person) {
    this.#clutch = clutch;
    this.#person = person;
  }

  /** Asks about one after the other as they come. Resolves when the signal ends it. */
  async decide(runId: string, signal: AbortSignal): Promise<void> {
    const { bus, gates } = this.#clutch;
    const happenings = bus.follow(bus.last, signal);
    for (const gate of await gates.list({ status: 'pending', runId })) await this.#ask(gate, signal);
    for await (const event of happenings) {
      if (event.run_id !== runId || !/^gate_(opened|changed)$/.test(event.type)) continue;
      const { approval } = event.body as { approval: ApprovalWire };
      await this.#ask(await gates.get(approval.id), signal);
    }
  }

  async #ask(gate: Gate, signal: AbortSignal): Promise<void> {
    const name = `${gate.id} ${gate.revision}`;
    if (signal.aborted || gate.status !== 'pending' || this.#asked.has(name)) return;
    this.#asked.add(name);
    const answer = await this.#answer(gate, signal);
    if (answer.action === 'cancel') return;
    try {
      await decide(this.#clutch, gate, decisionOf(gate, answer), `elicitation: ${this.#person.client}`);
    } catch (error) {
      if (!(error instanceof StompError) || !overtaken.includes(error.code)) throw error;
    }
  }

  /** The question is taken back when somebody else has decided. */
  async #answer(gate: Gate, signal: AbortSignal): Promise<Answer> {
    const over = new AbortController();
    const end = () => over.abort();
    signal.addEventListener('abort', end, { once: true });
    const elsewhere = this.#clutch.gates.settled(gate.id, over.signal).then(end, end);
    try {
      return await this.#person.ask({ message: questionOf(gate), ...wordsAskedFor(gate) }, over.signal);
    } catch (error) {
      if (over.signal.aborted) return { action: 'cancel' };
      throw error;
    } finally {
      signal.removeEventListener('abort', end);
      end();
      await elsewhere;
    }
  }
}

function decisionOf({ kind, revision }: Gate, { action, text }: Answer): DecisionArguments {
  if (action !== 'accept') return { decision: 'reject', revision };
  const answered = kind === 'ask' && text !== undefined;
  return { decision: 'approve', revision, ...(answered ? { edits: { answer: text } } : {}) };
}

/** All of what would run: nobody is to agree to what was not shown. */
function questionOf({ preview, payload, requester }: Gate): string {
  const parts = [`${requester} asks: ${preview.title}`, JSON.stringify(payload, undefined, 2)];
  return [...parts, ...(preview.diff === undefined ? [] : [preview.diff])].join('\n\n');
}

function wordsAskedFor({ kind, payload }: Gate): Pick<Question, 'field' | 'choices'> {
  if (kind !== 'ask') return {};
  return { field: String(payload['question']), choices: payload['choices'] as readonly string[] };
}
