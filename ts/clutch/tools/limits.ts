/** How much tools may tell a model: one call, and all calls of a run. Pure. */

/** Of one output, in characters as JavaScript counts them. */
export const maxOutputChars = 8_000;
/** Of all outputs of a run, as UTF-8. */
export const maxRunOutputBytes = 500_000;

/** What a run's tools have told so far. Plain JSON. */
export interface OutputBudget {
  readonly bytes: number;
  /** The model knows that there is no more. */
  readonly warned: boolean;
}

export const freshBudget: OutputBudget = { bytes: 0, warned: false };

/** Whether another tool may be called. */
export function isSpent(budget: OutputBudget): boolean {
  return budget.warned;
}

/** What a call is answered that is not made any more. */
export const spentRefusal = `Refused: the tools of this run have given ${maxRunOutputBytes} bytes of output, which is all they may. Finish with what you have.`;

const warning = `\n[WARNING: the tools of this run have given more than ${maxRunOutputBytes} bytes of output. This was the last; further calls are refused. Finish with what you have.]`;

/**
 * Takes an output as the model will get it, already cut, off the budget.
 * @returns the output, with a warning when it is the one that goes over
 */
export function spend(budget: OutputBudget, output: string): { budget: OutputBudget; output: string } {
  const bytes = budget.bytes + Buffer.byteLength(output);
  if (bytes <= maxRunOutputBytes || budget.warned) return { budget: { ...budget, bytes }, output };
  return { budget: { bytes, warned: true }, output: output + warning };
}

/** The beginning of an output that is too long, and how much is missing. */
export function cutOutput(output: string, maxChars: number = maxOutputChars): string {
  if (output.length <= maxChars) return output;
  const kept = wholeCharacters(output.slice(0, maxChars));
  return `${kept}\n[cut: ${output.length - kept.length} of ${output.length} characters are missing]`;
}

/** Without the first half of a character whose second half was cut off. */
function wholeCharacters(text: string): string {
  return /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text;
}

/** Of a text that comes in pieces the beginning and the end, with bounded memory. */
export class BothEnds {
  readonly #half: number;
  #head = '';
  #tail = '';
  #chars = 0;

  /** @param maxChars of what is kept; the marker between the ends comes on top */
  constructor(maxChars: number) {
    this.#half = Math.floor(maxChars / 2);
  }

  add(text: string): void {
    this.#chars += text.length;
    const room = this.#half - this.#head.length;
    this.#head += text.slice(0, room);
    this.#tail = (this.#tail + text.slice(room)).slice(-this.#half);
  }

  get text(): string {
    const missing = this.#chars - this.#head.length - this.#tail.length;
    if (missing === 0) return this.#head + this.#tail;
    const head = wholeCharacters(this.#head);
    const tail = this.#tail.replace(/^[\udc00-\udfff]/, '');
    const cut = this.#chars - head.length - tail.length;
    return `${head}\n[cut: ${cut} of ${this.#chars} characters are missing here]\n${tail}`;
  }
}
