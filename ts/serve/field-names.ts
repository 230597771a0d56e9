/** Names that a protocol has for what the engine calls otherwise, so that errors name what the client wrote. Pure. */
import { StompError } from '../errors.js';

/** Beginnings of the engine's names, with what stands for them. */
export type FieldNames = readonly (readonly [RegExp, string])[];

/** The error with its field as the request named it; anything else as it is. */
export function renamed(caught: unknown, names: FieldNames): unknown {
  const field = caught instanceof StompError ? caught.fields.field : undefined;
  if (!(caught instanceof StompError) || typeof field !== 'string') return caught;
  const name = names.reduce((given, [own, theirs]) => given.replace(own, theirs), field);
  if (name === field) return caught;
  return new StompError(
    caught.code,
    caught.message.replace(field, () => name),
    {
      cause: caught,
      fields: { ...caught.fields, field: name },
    },
  );
}
