/**
 * Progress of downloads and loads on standard error: one line that is drawn over on a terminal, a line for
 * each quarter elsewhere. Main thread only; the clock is the caller's.
 */
import type { LoadProgress } from '../engine/types.js';
import type { Output } from './terminal.js';
import { formatBytes } from './units.js';

const BAR_WIDTH = 24;
const REDRAW_MS = 100;

export class ProgressBar {
  readonly #output: Output;
  readonly #now: () => number;
  #label = '';
  #startedMs = 0;
  #drawnMs = 0;
  /** Last quarter that was told, where lines cannot be drawn over. */
  #quarter = -1;
  /** What stands on the terminal's line now. */
  #shown = '';

  /** @param now milliseconds, never going back. */
  constructor(output: Output, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
  }

  /** For `onProgress` of `Engine.load`. */
  readonly onLoad = (progress: LoadProgress): void => {
    if (progress.phase === 'load') {
      this.update('Loading the model', progress.fraction, '');
      return;
    }
    const { doneBytes, totalBytes } = progress;
    const seconds = (this.#now() - this.#startedMs) / 1000;
    const speed =
      this.#label.includes(progress.file) && seconds > 1 ? `, ${formatBytes(doneBytes / seconds)}/s` : '';
    const size =
      totalBytes === undefined
        ? formatBytes(doneBytes)
        : `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}`;
    const fraction = totalBytes === undefined ? undefined : doneBytes / totalBytes;
    this.update(`Downloading ${progress.file}`, fraction, size + speed);
  };

  /** @param fraction 0 to 1; undefined when the end is not known. */
  update(label: string, fraction: number | undefined, detail: string): void {
    if (label !== this.#label) this.#begin(label);
    if (this.#output.isTTY) this.#draw(fraction, detail);
    else this.#tell(fraction, detail);
  }

  /** Ends the line, if one was drawn. */
  done(): void {
    if (this.#shown !== '') this.#output.write('\n');
    this.#shown = '';
    this.#label = '';
  }

  #begin(label: string): void {
    this.done();
    this.#label = label;
    this.#startedMs = this.#now();
    this.#drawnMs = -Infinity;
    this.#quarter = -1;
  }

  #draw(fraction: number | undefined, detail: string): void {
    const now = this.#now();
    if (now - this.#drawnMs < REDRAW_MS && fraction !== 1) return;
    this.#drawnMs = now;
    const line = [this.#label, ...(fraction === undefined ? [] : [bar(fraction), percent(fraction)]), detail]
      .filter((part) => part !== '')
      .join('  ')
      .slice(0, (this.#output.columns ?? 80) - 1);
    if (line === this.#shown) return;
    this.#output.write(`\r${line.padEnd(this.#shown.length)}`);
    this.#shown = line;
  }

  #tell(fraction: number | undefined, detail: string): void {
    const quarter = fraction === undefined ? 0 : Math.floor(fraction * 4);
    if (quarter === this.#quarter) return;
    this.#quarter = quarter;
    const done = fraction === undefined ? '' : ` ${percent(fraction).trim()}`;
    this.#output.write(`${this.#label}:${done}${detail === '' ? '' : ` (${detail})`}\n`);
  }
}

function bar(fraction: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
}

function percent(fraction: number): string {
  return `${String(Math.floor(Math.min(1, Math.max(0, fraction)) * 100)).padStart(3)} %`;
}
