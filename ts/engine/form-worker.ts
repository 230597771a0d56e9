/** What runs on the thread that compiles forms: `form-thread.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import { type StompError, toStompError } from '../errors.js';
import { answerGrammar, type FormRequest } from './text/tools/answer-grammar.js';
import { type AddedToken, AddedTokens } from './text/tools/form-vocabulary.js';

export interface FormTask {
  /** A `FormRequest` as JSON text. */
  readonly text: string;
}

/** A `StompError` on its way to the other thread. */
export type FormError = ReturnType<StompError['toJSON']>;

export type FormReply = { readonly grammar: string } | { readonly error: FormError };

const vocabulary = new AddedTokens(workerData as readonly AddedToken[]);

function compile({ text }: FormTask): FormReply {
  try {
    return { grammar: JSON.stringify(answerGrammar(JSON.parse(text) as FormRequest, vocabulary)) };
  } catch (error) {
    return { error: toStompError(error).toJSON() };
  }
}

parentPort?.on('message', (task: FormTask) => parentPort?.postMessage(compile(task)));
