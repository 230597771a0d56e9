/** Starts a run and shows what happens in it; asks in the terminal what waits for a person. */
import { resolve } from 'node:path';
import type { ClutchEvent } from '../../clutch/events/event.js';
import type { RunChangeWire, RunWire } from '../../clutch/wire.js';
import { StompError } from '../../errors.js';
import { given } from '../../tools/parameters.js';
import { print, say, type Terminal } from '../terminal.js';
import type { ClutchClient } from './client.js';
import { eventsOf } from './event-reader.js';
import { GatePrompt } from './gate-prompt.js';
import { printable } from './views.js';

type Args = Readonly<Record<string, unknown>>;

const exitStopped = 3;
const exitInterrupted = 130;

/** @returns the exit code: 0 done, 1 failed or aborted, 3 stopped before its end */
export async function followRun(client: ClutchClient, args: Args, terminal: Terminal): Promise<number> {
  const { seq } = await client.json<{ seq: number }>('GET', '/v1/state');
  const run = await client.json<RunWire>('POST', '/v1/runs', bodyOf(args)).catch(outsideOfRoots);
  if (args['detach']) {
    print(terminal, run.id);
    return 0;
  }
  say(terminal, `The run ${run.id}; Ctrl-C ends it.`);
  const left = new AbortController();
  let isAborting = false;
  const onSignal = (): void => {
    if (isAborting) {
      left.abort();
      return;
    }
    isAborting = true;
    say(terminal, 'Ending the run; once more leaves it.');
    client.json('POST', `/v1/runs/${run.id}/abort`, {}).catch((error: Error) => {
      say(terminal, `stomp-serve: ${printable(error.message)}`);
    });
  };
  process.on('SIGINT', onSignal);
  try {
    return await watch(client, run, seq, terminal, left.signal);
  } catch (error) {
    if (left.signal.aborted) return exitInterrupted;
    throw error;
  } finally {
    process.off('SIGINT', onSignal);
  }
}

/** Says what to do about a folder that the server's runs may not work in. */
function outsideOfRoots(error: unknown): never {
  if (!(error instanceof StompError) || error.code !== 'PATH_DENIED') throw error;
  const message = `${error.message} Change to a folder that is allowed (cd), or name it with --base-dir; the --roots of the server say which are.`;
  throw new StompError('PATH_DENIED', message, { cause: error, fields: error.fields });
}

function bodyOf(args: Args): object {
  return given({
    prompt: args['task'],
    gate: args['gate'],
    provider: args['provider'],
    first_tool: args['first-tool'],
    max_tokens: args['max-tokens'],
    model: args['model'],
    base_dir: resolve(String(args['base-dir'] ?? '.')),
    file_items: args['file'],
  });
}

async function watch(
  client: ClutchClient,
  run: RunWire,
  after: number,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const prompt = new GatePrompt(client, terminal);
  try {
    for await (const event of familyEvents(client, run, after, signal)) {
      ask(event, prompt);
      if (event.run_id !== run.id) continue;
      show(event, terminal);
      if (event.type === 'run_changed' && event.body.run.ended_at !== undefined)
        return ended(event.body.run, terminal);
    }
  } finally {
    prompt.close();
  }
  throw new StompError('NOT_FOUND', `The server has left; the run ${run.id} goes on when it is back.`);
}

/** What happens in the run, and in those that it begins: they wait for the same person. */
async function* familyEvents(
  client: ClutchClient,
  { id }: RunWire,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<ClutchEvent, void> {
  const family = new Set([id]);
  for await (const event of eventsOf(client, after, signal)) {
    if (event.type === 'run_started' && family.has(event.body.run.parent_id ?? '')) family.add(event.run_id);
    if (family.has(event.run_id)) yield event;
  }
}

function ask(event: ClutchEvent, prompt: GatePrompt): void {
  if (event.type === 'gate_opened' || event.type === 'gate_changed') prompt.show(event.body.approval);
  if (event.type === 'gate_decided') prompt.decided(event.body.approval);
}

function show(event: ClutchEvent, terminal: Terminal): void {
  if (event.type === 'text') terminal.stdout.write(printable(event.body.text));
  if (event.type === 'text_reset') print(terminal, `\n[once more: ${printable(event.body.reason)}]`);
  if (event.type === 'response_received') print(terminal);
  if (event.type !== 'tool_execution') return;
  const { phase, tool, failed, output = '' } = event.body;
  if (phase === 'start') print(terminal, `[${printable(tool)}]`);
  else print(terminal, printable(`${failed ? '[failed] ' : ''}${output}`));
}

function ended({ status, stopped, error }: RunChangeWire, terminal: Terminal): number {
  if (status !== 'done') {
    say(terminal, printable(`The run has ended: ${status}${error ? `, ${error.message}` : ''}`));
    return 1;
  }
  if (stopped === undefined) return 0;
  say(terminal, stopped === 'rounds' ? 'Stopped: all rounds are used.' : 'Stopped: the answer was cut.');
  return exitStopped;
}
