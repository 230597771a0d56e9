/** `stomp-serve locks`: shows who holds and who waits for what in the database of the settings. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Maasl } from '../../guard/index.js';
import type { Command, Invocation } from '../command.js';
import { lockTable } from '../lock-view.js';
import { openMaasl, requireDatabase } from '../open-guard.js';
import { type Output, print, type Terminal } from '../terminal.js';

export const locks: Command = {
  name: 'locks',
  usage: '',
  summary: 'Show who holds and who waits for what, live',
  arguments: [0, 0],
  run: showLocks,
};

const REFRESH_MS = 1000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Where a page comes and goes without a trace on what was there before. */
const enterScreen = '\u001b[?1049h';
const leaveScreen = '\u001b[?1049l';
const clearScreen = '\u001b[H\u001b[2J';

async function showLocks(invocation: Invocation): Promise<number> {
  const { settings, terminal } = invocation;
  await requireDatabase(invocation);
  const maasl = await openMaasl(invocation);
  const view = () => lockView(maasl);
  try {
    if (terminal.stdout.isTTY && !settings.once) await watchUntilSignal(terminal, view);
    print(terminal, await view());
    return 0;
  } finally {
    await maasl.close();
  }
}

async function lockView({ locks: manager, storage }: Maasl): Promise<string> {
  const [held, waiting] = [await manager.snapshot(), await manager.waiting()];
  return `${lockTable(held, waiting)}\n\nFrom ${storage?.name}.`;
}

async function watchUntilSignal(terminal: Terminal, view: () => Promise<string>): Promise<void> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    await watch(terminal.stdout, view, stop.signal);
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** Draws the page anew every second until it is told to stop. */
export async function watch(output: Output, view: () => Promise<string>, stop: AbortSignal): Promise<void> {
  output.write(enterScreen);
  try {
    while (!stop.aborted) {
      output.write(clearScreen + page(await view(), output));
      await sleep(REFRESH_MS, undefined, { signal: stop }).catch(() => undefined); // it says stop
    }
  } finally {
    output.write(leaveScreen);
  }
}

/** As much as the screen shows: what is too wide or too long would make it scroll. */
function page(text: string, output: Output): string {
  // A terminal that does not know its size says 0.
  const columns = output.columns || 80;
  const rows = output.rows || 24;
  const lines = [...text.split('\n'), 'Ctrl-C ends.'].map((line) => line.slice(0, columns));
  if (lines.length <= rows) return lines.join('\n');
  const shown = Math.max(0, rows - 1);
  return [...lines.slice(0, shown), `… ${lines.length - shown} more lines`].join('\n');
}
