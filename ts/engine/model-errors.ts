/** What requests and callers are told while a model is not there. Pure. */
import { StompError } from '../errors.js';
import type { ModelStatus } from './model-status.js';

/** Why there is no engine for a request. */
export function absence(status: ModelStatus): StompError {
  const fields = fieldsOf(status);
  if (status.awaited) {
    return new StompError('MODEL_SWAP', 'The model is being exchanged; try again in a moment.', { fields });
  }
  return new StompError('ENGINE_UNAVAILABLE', reasonOf(status), { fields });
}

/** For who wants a change while there is one. */
export function busy(status: ModelStatus): StompError {
  return new StompError('MODEL_SWAP', 'The model is being changed already; try again when that is done.', {
    fields: fieldsOf(status),
  });
}

/** For requests that took too long. @param next what takes the model's place */
export function goodbye(model: string, next: string | undefined): StompError {
  const why = next === undefined ? 'unloaded' : `exchanged for ${next}`;
  return new StompError('MODEL_SWAP', `${model} was ${why} before the answer was complete.`, {
    fields: { model, next },
  });
}

/** A swap that failed. @param second why the model before it could not be loaded again; undefined: it serves */
export function notReplaced(
  { model, previous }: { readonly model: string; readonly previous: string },
  error: StompError,
  second: StompError | undefined,
): StompError {
  const message = second
    ? `${error.message} And ${previous} could not be loaded again: ${second.message}`
    : `${model} could not be loaded, ${previous} serves again. ${error.message}`;
  const fields = { ...error.fields, model, restored: second ? null : previous };
  return new StompError(error.code, message, { cause: error, fields });
}

export function closedError(): StompError {
  return new StompError('SHUTTING_DOWN', 'The models are closed; open another registry.');
}

function fieldsOf({ state, model, next }: ModelStatus) {
  return { state, model, next };
}

function reasonOf({ state, failure, asleep }: ModelStatus): string {
  if (state === 'loading') return 'The model is being loaded; try again in a moment.';
  if (state === 'draining') return 'The model is being unloaded; load one first.';
  if (failure) return `The model could not be loaded: ${failure.message}`;
  if (asleep) return 'The model was unloaded for want of requests; a turn loads it again.';
  return 'No model is loaded; load one first.';
}
