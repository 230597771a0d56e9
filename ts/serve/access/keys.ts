/**
 * The keys that a server knows, and who calls with which. Keys are kept as digests and compared in constant
 * time; none is ever part of an error or a log line. Main thread only.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { StompError } from '../../errors.js';

/**
 * What a key is good for. Every role may do what a `user` may; `admin` and `approver` do not include each other,
 * so that whoever runs the models cannot open a gate that a person holds.
 */
export const ROLES = ['user', 'admin', 'approver'] as const;
/** What a key is good for; see `ROLES`. */
export type Role = (typeof ROLES)[number];

/** One key and what it is good for. */
export interface ApiKey {
  role: Role;
  /** 16 to 512 visible ASCII characters. */
  key: string;
  /** Stands for the key in the log: 1 to 64 of `A-Za-z0-9_.-`. */
  name?: string;
}

/** Who sent a request. */
export interface Caller {
  /** `anyone` on a server without keys, where everything is allowed, and on paths that need none. */
  readonly role: Role | 'anyone';
  readonly name: string | undefined;
  /** The same for all requests with one key; not to be logged. */
  readonly id: string | undefined;
  /** Whether it may open gates that a person holds. Nobody may by default, not even where everybody may do the rest. */
  readonly approves: boolean;
}

export const ANYONE: Caller = { role: 'anyone', name: undefined, id: undefined, approves: false };

const MAX_KEYS = 1000;
const MIN_LENGTH = 16;
const KEY = /^[\x21-\x7e]{16,512}$/;
const NAME = /^[\w.-]{1,64}$/;
const KEY_BYTES = 32;

interface Entry {
  readonly digest: Buffer;
  readonly caller: Caller;
}

/** The keys that count. They may be replaced while requests come in. */
export class KeyRing {
  #entries: readonly Entry[] = [];

  /** @throws StompError CONFIG_INVALID when there is no key, or one is not as it must be. */
  constructor(keys: readonly ApiKey[]) {
    this.replace(keys);
  }

  /**
   * From now on only these count; a request that has begun goes on.
   * @throws StompError CONFIG_INVALID; then those from before still count.
   */
  replace(keys: readonly ApiKey[]): void {
    if (keys.length === 0 || keys.length > MAX_KEYS) {
      throw invalid(`There are ${keys.length} keys; give 1 to ${MAX_KEYS}.`);
    }
    const entries = keys.map((key, index) => entryOf(key, index + 1));
    const digests = new Set(entries.map(({ caller }) => caller.id));
    if (digests.size < entries.length) throw invalid('One key is there twice; each has one role.');
    this.#entries = entries;
  }

  /** The caller with this key. Takes as long for a wrong key as for any right one. */
  find(presented: string): Caller | undefined {
    const digest = digestOf(presented);
    let found: Caller | undefined;
    for (const entry of this.#entries) if (timingSafeEqual(entry.digest, digest)) found = entry.caller;
    return found;
  }
}

/** A key that nobody can guess. */
export function newKey(): string {
  return `stomp_${randomBytes(KEY_BYTES).toString('base64url')}`;
}

/** What is wrong with a key, in words that do not show it; undefined when nothing is. */
export function keyProblem({ role, key, name }: ApiKey): string | undefined {
  if (!ROLES.includes(role)) return `its role is none of ${ROLES.join(', ')}`;
  if (typeof key !== 'string' || key.length < MIN_LENGTH) {
    return `it is shorter than ${MIN_LENGTH} characters; "stomp-serve keys new" makes a good one`;
  }
  if (!KEY.test(key)) return 'it is not 16 to 512 visible ASCII characters';
  if (name !== undefined && !NAME.test(name)) return 'its name is not 1 to 64 of A-Z a-z 0-9 _ . -';
  return undefined;
}

function entryOf(key: ApiKey, position: number): Entry {
  const problem = keyProblem(key);
  if (problem !== undefined) throw invalid(`Key ${position} cannot be used: ${problem}.`);
  const digest = digestOf(key.key);
  const { role, name } = key;
  return { digest, caller: { role, name, id: digest.toString('hex'), approves: role === 'approver' } };
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function invalid(message: string): StompError {
  return new StompError('CONFIG_INVALID', message, { fields: { field: 'keys' } });
}
