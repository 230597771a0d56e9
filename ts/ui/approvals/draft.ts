/** A payload as fields that a person may change, and what the changes come to. Pure. */

export type Payload = Readonly<Record<string, unknown>>;
export type Path = readonly (string | number)[];

/** `text`: many lines; `line`: one; `json`: whatever else there is, as JSON. */
export type FieldKind = 'text' | 'line' | 'number' | 'flag' | 'json';

export interface Field {
  /** Names it in a draft. */
  readonly key: string;
  readonly path: Path;
  readonly label: string;
  readonly kind: FieldKind;
  /** As it stands in the field. */
  readonly shown: string;
  /** It says what the approval belongs to, and cannot be another. */
  readonly isFixed: boolean;
}

/** What stands in fields that were touched, by their keys. */
export type Draft = Readonly<Record<string, string>>;

export interface Reading {
  /** The payload with all changes. */
  readonly payload: Payload;
  /** The changed fields of it; undefined when nothing is another. */
  readonly edits: Payload | undefined;
  /** What cannot be read, by field. */
  readonly problems: Readonly<Record<string, string>>;
}

/** A call within a step. */
export interface StepCall {
  readonly tool: string;
  /** Where its arguments are in the payload. */
  readonly path: Path;
  readonly payload: Payload;
}

const longLine = 80;
/** Names of texts that are long even when they happen to be short. */
const texts = new Set(['script', 'content', 'old_text', 'new_text', 'prompt', 'context_md', 'text', 'body']);

export function keyOf(path: Path): string {
  return JSON.stringify(path);
}

export function fieldsOf(payload: Payload, base: Path = []): Field[] {
  return Object.entries(payload).map(([name, value]) => {
    const path = [...base, name];
    return {
      key: keyOf(path),
      path,
      label: name.replaceAll('_', ' '),
      kind: kindOf(name, value),
      shown: shownOf(value),
      isFixed: name === 'ticket_id',
    };
  });
}

function kindOf(name: string, value: unknown): FieldKind {
  if (typeof value === 'number') return 'number';
  if (typeof value === 'boolean') return 'flag';
  if (typeof value !== 'string') return 'json';
  return texts.has(name) || /[\r\n]/.test(value) || value.length > longLine ? 'text' : 'line';
}

function shownOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

/**
 * The calls of a step; undefined for any other payload, such as the arguments of a tool that has `calls` of its own: what
 * their calls hold beside would not be seen.
 */
export function callsOf(payload: Payload): StepCall[] | undefined {
  const { calls, ticket_id: _, ...more } = payload;
  const isStep = Array.isArray(calls) && calls.length > 0 && Object.keys(more).length === 0;
  if (!isStep || !calls.every(isCall)) return undefined;
  return calls.map((call, index) => ({
    tool: call.tool,
    path: ['calls', index, 'payload'],
    payload: call.payload,
  }));
}

function isCall(value: unknown): value is Pick<StepCall, 'tool' | 'payload'> {
  const { position, tool, payload, ...more } = (value ?? {}) as Partial<StepCall> & { position?: unknown };
  const isNamed = ['number', 'undefined'].includes(typeof position) && typeof tool === 'string';
  return isNamed && typeof payload === 'object' && payload !== null && Object.keys(more).length === 0;
}

/** All fields that a person may change: of a step, those of its calls. */
export function editableOf(payload: Payload): Field[] {
  const calls = callsOf(payload);
  const fields = calls ? calls.flatMap((call) => fieldsOf(call.payload, call.path)) : fieldsOf(payload);
  return fields.filter(({ isFixed }) => !isFixed);
}

export function readDraft(payload: Payload, draft: Draft): Reading {
  const problems: Record<string, string> = {};
  let edited: Payload = payload;
  for (const field of editableOf(payload)) {
    const written = draft[field.key];
    // As it was: not read, so that a number keeps its digits and JSON its form.
    if (written === undefined || written === inField(field.shown)) continue;
    const read = readField(field, written);
    if ('problem' in read) problems[field.key] = read.problem;
    else edited = placed(edited, field.path, read.value) as Payload;
  }
  return { payload: edited, edits: changedFields(payload, edited), problems };
}

/** Browsers have but one kind of line end in a field. */
function inField(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

/** An edit of one line leaves the ends of the others as they were. */
function withEndsOf(shown: string, written: string): string {
  const isDos = shown.includes('\r\n') && !/(^|[^\r])\n/.test(shown);
  return isDos ? written.replaceAll('\n', '\r\n') : written;
}

function readField({ kind, shown }: Field, written: string): { value: unknown } | { problem: string } {
  if (kind === 'text' || kind === 'line') return { value: withEndsOf(shown, written) };
  if (kind === 'flag') return { value: written === 'true' };
  return kind === 'number' ? readNumber(written) : readJson(written);
}

function readNumber(written: string): { value: number } | { problem: string } {
  const value = Number(written);
  if (written.trim() === '' || !Number.isFinite(value)) return { problem: 'This must be a number.' };
  return { value };
}

function readJson(written: string): { value: unknown } | { problem: string } {
  try {
    return { value: JSON.parse(written) };
  } catch (error) {
    return { problem: `This must be JSON: ${(error as Error).message}` };
  }
}

function placed(holder: unknown, [step, ...rest]: Path, value: unknown): unknown {
  if (step === undefined) return value;
  if (Array.isArray(holder))
    return holder.map((item, at) => (at === step ? placed(item, rest, value) : item));
  const object = holder as Readonly<Record<string, unknown>>;
  return { ...object, [step]: placed(object[String(step)], rest, value) };
}

function changedFields(before: Payload, after: Payload): Payload | undefined {
  const changed = Object.entries(after).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
  );
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}
