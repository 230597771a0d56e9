/** What runs on the thread that looks into code: `code-thread.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { type StompError, toStompError } from '../../errors.js';
import { Code, type CodeCall } from './code.js';

/** What can be asked. */
export type CodeMethod = 'forecast' | 'doubts' | 'impact' | 'shard' | 'planMerge' | 'reconcile';

/** Without a method: the call is cancelled. */
export interface CodeTask {
  readonly id: number;
  readonly method?: CodeMethod;
  readonly question?: unknown;
}

export type CodeReply =
  | { readonly id: number; readonly done: number; readonly total: number }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: ReturnType<StompError['toJSON']> };

const code = new Code(workerData as string);
const running = new Map<number, AbortController>();

async function answer(id: number, method: CodeMethod, question: unknown): Promise<CodeReply> {
  const cancel = new AbortController();
  running.set(id, cancel);
  const onProgress = (done: number, total: number) => reply({ id, done, total });
  const ask = code[method].bind(code) as (question: unknown, call: CodeCall) => Promise<unknown>;
  try {
    return { id, answer: await ask(question, { signal: cancel.signal, onProgress }) };
  } catch (error) {
    return { id, error: toStompError(error).toJSON() };
  } finally {
    running.delete(id);
  }
}

function reply(message: CodeReply): void {
  parentPort?.postMessage(message);
}

parentPort?.on('message', async ({ id, method, question }: CodeTask) => {
  if (method === undefined) running.get(id)?.abort();
  else reply(await answer(id, method, question));
});
