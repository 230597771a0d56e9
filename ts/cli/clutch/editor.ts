/** Lets a person change a payload in the editor of their choice. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StompError } from '../../errors.js';

type Payload = Readonly<Record<string, unknown>>;

/** @returns the fields that were changed @throws StompError CONFIG_INVALID */
export function editInEditor(payload: Payload): Payload {
  const folder = mkdtempSync(join(tmpdir(), 'stomp-edit-'));
  const path = join(folder, 'payload.json');
  try {
    writeFileSync(path, `${JSON.stringify(payload, undefined, 2)}\n`, { mode: 0o600 });
    const [command = 'vi', ...args] = (process.env['EDITOR'] ?? 'vi').split(' ');
    const { status, error } = spawnSync(command, [...args, path], { stdio: 'inherit' });
    if (error || status !== 0) throw wrong(`${command} has not ended well.`, error);
    return changes(payload, readFileSync(path, 'utf8'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Pure. @throws StompError CONFIG_INVALID */
export function changes(payload: Payload, text: string): Payload {
  let edited: unknown;
  try {
    edited = JSON.parse(text);
  } catch (cause) {
    throw wrong('What was written is not JSON; nothing is decided.', cause);
  }
  if (typeof edited !== 'object' || edited === null || Array.isArray(edited))
    throw wrong('What was written is no object; nothing is decided.');
  const gone = Object.keys(payload).find((name) => !Object.hasOwn(edited as object, name));
  if (gone !== undefined)
    throw wrong(`${JSON.stringify(gone)} cannot be taken out, only changed; nothing is decided.`);
  const isOther = ([name, value]: [string, unknown]) =>
    JSON.stringify(value) !== JSON.stringify(payload[name]);
  return Object.fromEntries(Object.entries(edited).filter(isOther));
}

function wrong(message: string, cause?: unknown): StompError {
  return new StompError('CONFIG_INVALID', message, { cause });
}
