/** Asks in the terminal what waits for a person, one gate after the other. */
import { createInterface } from 'node:readline/promises';
import { setTimeout } from 'node:timers/promises';
import type { ApprovalWire } from '../../clutch/wire.js';
import { toStompError } from '../../errors.js';
import { given } from '../../tools/parameters.js';
import { print, say, type Terminal } from '../terminal.js';
import type { ClutchClient } from './client.js';
import { editInEditor } from './editor.js';
import { approvalView, printable } from './views.js';

/** The end of the input instead of an answer: Ctrl-D. */
class NoAnswer extends Error {}

/** What is typed earlier was meant for what stood there before: nobody answers what has only just appeared. */
const freshMs = 400;

export class GatePrompt {
  readonly #client: ClutchClient;
  readonly #terminal: Terminal;
  readonly #waiting = new Map<string, ApprovalWire>();
  #asked: { readonly id: string; readonly stop: AbortController } | undefined;

  constructor(client: ClutchClient, terminal: Terminal) {
    this.#client = client;
    this.#terminal = terminal;
  }

  /** It was opened, or shows something else. */
  show(approval: ApprovalWire): void {
    if (!process.stdin.isTTY) {
      print(this.#terminal, `\n${approvalView(approval)}`);
      this.#leave(approval);
      return;
    }
    const isAtWork = this.#waiting.size > 0;
    this.#waiting.set(approval.id, approval);
    if (this.#asked?.id === approval.id) this.#asked.stop.abort();
    if (!isAtWork) void this.#askAll();
  }

  /** By whoever. */
  decided({ id, status }: ApprovalWire): void {
    if (!this.#waiting.delete(id) || this.#asked?.id !== id) return;
    say(this.#terminal, `\nIt is ${status} already.`);
    this.#asked.stop.abort();
  }

  close(): void {
    this.#waiting.clear();
    this.#asked?.stop.abort();
  }

  /** Never rejects. */
  async #askAll(): Promise<void> {
    for (;;) {
      const [approval] = this.#waiting.values();
      if (!approval) return;
      const stop = new AbortController();
      this.#asked = { id: approval.id, stop };
      if (await this.#isDone(approval, stop.signal)) {
        if (this.#waiting.get(approval.id) === approval) this.#waiting.delete(approval.id);
      }
      this.#asked = undefined;
    }
  }

  /** Whether it need not be asked again as it is. */
  async #isDone(approval: ApprovalWire, signal: AbortSignal): Promise<boolean> {
    // Where the question is: what the run puts out may go elsewhere.
    say(this.#terminal, `\n${approvalView(approval)}`);
    try {
      await nothingTyped(freshMs, signal);
      const decision = await this.#decision(approval, signal);
      // From here on it is this one who decides: its event is no news.
      this.#asked = undefined;
      await this.#client.json('POST', `/v1/approvals/${approval.id}/resolve`, {
        ...decision,
        revision: approval.revision,
      });
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      if (error instanceof NoAnswer) {
        this.#leave(approval);
        return true;
      }
      const { code, message } = toStompError(error);
      say(this.#terminal, `stomp-serve: ${printable(message)}`);
      // Somebody else was faster, or it shows something else by now: what comes next tells.
      return code.startsWith('APPROVAL_');
    }
  }

  async #decision(approval: ApprovalWire, signal: AbortSignal): Promise<object> {
    for (;;) {
      const answer = await question('[a]pprove [e]dit [r]eject [x] abort: ', signal);
      const decision = await this.#meant(answer.trim().toLowerCase(), approval, signal);
      if (decision) return decision;
    }
  }

  /** Undefined: nothing yet. */
  async #meant(answer: string, { payload }: ApprovalWire, signal: AbortSignal): Promise<object | undefined> {
    if (answer === 'a') return { decision: 'approve' };
    if (answer === 'x') return { decision: 'abort' };
    if (answer === 'r')
      return { decision: 'reject', ...given({ reason: (await question('Why? ', signal)) || undefined }) };
    if (answer !== 'e') return undefined;
    const edits = editInEditor(payload);
    if (Object.keys(edits).length > 0) return { decision: 'approve', edits };
    say(this.#terminal, 'Nothing was changed.');
    return undefined;
  }

  #leave({ id }: ApprovalWire): void {
    say(this.#terminal, `It waits: stomp-serve approve ${id}, or stomp-serve reject ${id}.`);
  }
}

/** Throws away what was typed before and what is typed meanwhile, but for Ctrl-C. */
async function nothingTyped(ms: number, signal: AbortSignal): Promise<void> {
  const { stdin } = process;
  const take = (keys: Buffer): void => {
    if (keys.includes('\u0003')) process.emit('SIGINT');
  };
  stdin.setRawMode(true).on('data', take).resume();
  try {
    await setTimeout(ms, undefined, { signal });
  } finally {
    stdin.off('data', take).pause().setRawMode(false);
  }
}

/** A line. The terminal is left alone between two, so that an editor may have it. @throws NoAnswer */
async function question(text: string, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Of the line, Ctrl-C would be the line's own.
  lines.on('SIGINT', () => process.emit('SIGINT'));
  try {
    return await new Promise((answer, fail) => {
      lines.once('close', () => fail(new NoAnswer()));
      lines.question(text, { signal }).then(answer, fail);
    });
  } finally {
    lines.close();
  }
}
