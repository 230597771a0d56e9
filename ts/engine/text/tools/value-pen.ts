/** Writes the value of an argument as JSON while it is read: strings as they come, all else when it is whole. */
import { isText, type JsonType, valueAsJson } from './argument-values.js';
import type { Reading } from './reading.js';

export class ValuePen {
  readonly #reading: Reading;
  readonly #types: ReadonlySet<JsonType> | undefined;
  readonly #lines: boolean;
  readonly #streams: boolean;
  /** A line break that may be the last. */
  #held = '';
  #first = true;
  #value = '';

  /** @param lines the line breaks around the value do not belong to it. */
  constructor(reading: Reading, types: ReadonlySet<JsonType> | undefined, lines: boolean) {
    this.#reading = reading;
    this.#types = types;
    this.#lines = lines;
    this.#streams = isText(types);
    if (this.#streams) reading.arguments('"');
  }

  write(text: string): void {
    for (const char of text) this.#char(char);
  }

  end(): void {
    this.#reading.arguments(this.#streams ? '"' : valueAsJson(this.#value, this.#types));
  }

  #char(char: string): void {
    const first = this.#first;
    this.#first = false;
    const isBreak = this.#lines && char === '\n';
    if (first && isBreak) return;
    this.#put(isBreak ? this.#held : this.#held + char);
    this.#held = isBreak ? char : '';
  }

  #put(text: string): void {
    if (this.#streams) this.#reading.arguments(text.replace(escaped, quoted));
    else this.#value += text;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes them
const escaped = /["\\\u0000-\u001f]/g;
const quoted = (char: string) => JSON.stringify(char).slice(1, -1);
