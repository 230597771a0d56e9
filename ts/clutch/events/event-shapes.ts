/** What each type of event must say, checked before it is taken: what is recorded stays. */
import { refuse } from '../../arguments.js';
import { gateKinds, gateStatuses } from '../gates/gate.js';
import { runStatuses } from '../runs/run.js';
import type { EmittedEvent, EventBodies, EventType } from './event.js';

interface Kind {
  /** In words, for messages. */
  readonly allowed: string;
  fits(value: unknown): boolean;
}

const text: Kind = { allowed: 'a text', fits: (value) => typeof value === 'string' };
const name: Kind = { allowed: 'a text that is not empty', fits: (value) => text.fits(value) && value !== '' };
const flag: Kind = { allowed: 'true or false', fits: (value) => typeof value === 'boolean' };
const count: Kind = {
  allowed: 'a whole number from 0',
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
};
const duration: Kind = {
  allowed: 'a number of milliseconds from 0',
  fits: (value) => Number.isFinite(value) && (value as number) >= 0,
};
const record: Kind = { allowed: 'an object', fits: isRecord };

function oneOf(choices: readonly string[]): Kind {
  return { allowed: `one of ${choices.join(', ')}`, fits: (value) => choices.includes(value as string) };
}

function perhaps({ allowed, fits }: Kind): Kind {
  return { allowed, fits: (value) => value === undefined || fits(value) };
}

/** An object that has these fields, among others. */
function having(fields: Readonly<Record<string, Kind>>): Kind {
  const entries = Object.entries(fields);
  return {
    allowed: `an object with ${Object.keys(fields).join(', ')}`,
    fits: (value) => isRecord(value) && entries.every(([field, kind]) => kind.fits(value[field])),
  };
}

function listOf({ allowed, fits }: Kind): Kind {
  return { allowed: `a list, each ${allowed}`, fits: (value) => Array.isArray(value) && value.every(fits) };
}

const changeFields = {
  id: name,
  status: oneOf(runStatuses),
  rounds: count,
  usage: record,
  updated_at: count,
};
const run = having({ ...changeFields, agent_id: name, session_id: name, prompt: text, created_at: count });
const approval = having({
  id: name,
  run_id: name,
  kind: oneOf(gateKinds),
  status: oneOf(gateStatuses),
  revision: count,
  proposed: record,
  payload: record,
  preview: record,
});
const rule = having({ id: name, run_id: name, tool: name, folder: name });
const call = having({ id: text, name: text, arguments: text });

const shapes: { readonly [T in EventType]: Readonly<Record<keyof EventBodies[T], Kind>> } = {
  run_started: { run },
  run_changed: { run: having(changeFields) },
  request_start: { round: count, provider: name, model: text, messages: count },
  text: { text, reasoning: text },
  text_reset: { attempt: count, wait_ms: duration, reason: text },
  response_received: {
    round: count,
    finish: oneOf(['stop', 'calls', 'length']),
    ms: duration,
    text,
    calls: listOf(call),
  },
  tool_execution: {
    phase: oneOf(['start', 'end']),
    call_id: name,
    tool: name,
    payload: record,
    output: perhaps(text),
    failed: perhaps(flag),
    ms: perhaps(duration),
  },
  gate_opened: { approval },
  gate_changed: { approval },
  gate_decided: { approval },
  rule_made: { rule },
  rule_revoked: { rule },
};

/** @throws StompError INVALID_REQUEST with the field, when it does not belong to the closed set */
export function checkEvent(event: EmittedEvent): void {
  const { type, run_id } = event;
  const body: unknown = event.body;
  if (!Object.hasOwn(shapes, type)) refuse('type', type, oneOf(Object.keys(shapes)).allowed);
  if (!name.fits(run_id)) refuse('run_id', run_id, name.allowed);
  if (!isRecord(body)) refuse('body', body, record.allowed);
  const shape: Readonly<Record<string, Kind>> = shapes[type];
  for (const [field, { allowed, fits }] of Object.entries(shape))
    if (!fits(body[field])) refuse(`body.${field}`, body[field], allowed);
  for (const field of Object.keys(body))
    if (!Object.hasOwn(shape, field)) refuse('body', field, `of the fields ${Object.keys(shape).join(', ')}`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
