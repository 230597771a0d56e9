/** The process that the demo starts, ends, and starts again: one engine, one request at a time. */
import { Engine } from '../../engine/engine.js';
import { toStompError } from '../../errors.js';
import type { FromWorker, ToWorker, TurnRequest } from './messages.js';

let engine: Engine | undefined;
let last: Promise<void> = Promise.resolve();

process.on('message', (message: ToWorker) => {
  last = last.then(() => handle(message)).catch(report);
});
// The demo is gone: nobody is left to save for.
process.on('disconnect', () => process.exit(0));

async function handle(message: ToWorker): Promise<void> {
  if (message.type === 'load') {
    engine = await Engine.load(message.model, {
      ...message.options,
      onProgress: (progress) => send({ type: 'progress', progress }),
    });
    await warmUp(engine);
    send({ type: 'loaded', info: engine.info });
  } else if (message.type === 'turn') {
    await answer(opened(engine), message.turn);
  } else {
    await opened(engine).close();
    send({ type: 'closed' });
  }
}

/** The first pass over the weights reads them from disk, which is no part of what the demo compares. */
async function warmUp(loaded: Engine): Promise<void> {
  await loaded.complete('Hello', { maxTokens: 2 }).result;
}

async function answer(loaded: Engine, turn: TurnRequest): Promise<void> {
  const { agent, message, system, maxTokens } = turn;
  const { text, usage } = await loaded.agent(agent).chat(message, { system, maxTokens }).result;
  send({ type: 'answer', answer: { text, usage } });
}

function opened(loaded: Engine | undefined): Engine {
  if (loaded) return loaded;
  throw new Error('the worker was asked before it had loaded a model');
}

function report(caught: unknown): void {
  const { code, message } = toStompError(caught);
  send({ type: 'error', code, message });
}

function send(message: FromWorker): void {
  process.send?.(message);
}
