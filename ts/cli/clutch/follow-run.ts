/** Starts a run and shows what happens in it; asks in the terminal what waits for a person. */
import { resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import type { ClutchEvent } from '../../clutch/events/event.js';
import type { ApprovalWire, RunChangeWire, RunWire } from '../../clutch/wire.js';
import { StompError } from '../../errors.js';
import { given } from '../../tools/parameters.js';
import { print, say, type Terminal } from '../terminal.js';
import type { ClutchClient } from './client.js';
import { editInEditor } from './editor.js';
import { eventsOf } from './event-reader.js';
import { approvalView, printable } from './views.js';

type Args = Readonly<Record<string, unknown>>;

const exitStopped = 3;
const exitInterrupted = 130;

/** @returns the exit code: 0 done, 1 failed or aborted, 3 stopped before its end */
export async function followRun(client: ClutchClient, args: Args, terminal: Terminal): Promise<number> {
  const { seq } = await client.json<{ seq: number }>('GET', '/v1/state');
  const run = await client.json<RunWire>('POST', '/v1/runs', bodyOf(args));
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

function bodyOf(args: Args): object {
  return given({
    prompt: args['task'],
    gate: args['gate'],
    provider: args['provider'],
    first_tool: args['first-tool'],
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
  for await (const event of eventsOf(client, after, signal)) {
    if (event.run_id !== run.id) continue;
    show(event, terminal);
    if (event.type === 'gate_opened' || event.type === 'gate_changed')
      await ask(client, event.body.approval, terminal, signal);
    if (event.type === 'run_changed' && event.body.run.ended_at !== undefined)
      return ended(event.body.run, terminal);
  }
  throw new StompError('NOT_FOUND', `The server has left; the run ${run.id} goes on when it is back.`);
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

/** Only where somebody sits; else whoever it is decides elsewhere. */
async function ask(
  client: ClutchClient,
  approval: ApprovalWire,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  print(terminal, `\n${approvalView(approval)}`);
  if (!process.stdin.isTTY) {
    say(terminal, `It waits: stomp-serve approve ${approval.id}, or stomp-serve reject ${approval.id}.`);
    return;
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Of the line, Ctrl-C would be the line's own.
  lines.on('SIGINT', () => process.emit('SIGINT'));
  try {
    const body = await decision(approval, (question) => lines.question(question, { signal }));
    await client.json('POST', `/v1/approvals/${approval.id}/resolve`, {
      ...body,
      revision: approval.revision,
    });
  } catch (error) {
    signal.throwIfAborted();
    // Somebody else was faster, or it shows something else by now: what comes next tells.
    say(terminal, `stomp-serve: ${printable((error as Error).message)}`);
  } finally {
    lines.close();
  }
}

async function decision(
  { payload }: ApprovalWire,
  question: (text: string) => Promise<string>,
): Promise<object> {
  for (;;) {
    const answer = (await question('[a]pprove [e]dit [r]eject [x] abort: ')).trim().toLowerCase();
    if (answer === 'a') return { decision: 'approve' };
    if (answer === 'x') return { decision: 'abort' };
    if (answer === 'r')
      return { decision: 'reject', ...given({ reason: (await question('Why? ')) || undefined }) };
    if (answer === 'e') return { decision: 'approve', edits: await editInEditor(payload) };
  }
}
