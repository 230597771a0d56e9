/**
 * Leases for agents that work with something the guard does not change itself. They outlive the call, and the server
 * too: whoever took one renews it and gives it back, or lets it expire.
 */
import { isAbsolute, join } from 'node:path';
import { refuse } from '../../arguments.js';
import { given } from '../../tools/parameters.js';
import { actingTool, type Caller, type Tool } from '../../tools/tool.js';
import { lockCancelledError } from '../errors.js';
import type { KeyRequest } from '../keys.js';
import { type Lease, longestTtlMs } from '../lease.js';
import type { ResourceClass } from '../policy.js';
import { resolveResources } from '../resources.js';
import type { GuardToolsOptions } from './guard-tools.js';
import { SessionLeases } from './session-leases.js';

const highestToken = 2n ** 63n - 1n;

const ttlMs = {
  type: 'integer',
  description: 'How long it lives unless it is renewed, in milliseconds; by default what the class says',
  minimum: 1,
  maximum: longestTtlMs,
} as const;

export const maxWaitMs = {
  type: 'integer',
  description:
    'How long to wait for those who hold it, in milliseconds; 0 does not wait; by default what the class says',
  minimum: 0,
  maximum: longestTtlMs,
} as const;

export const batch = {
  type: 'boolean',
  description: 'Nobody looks on: wait as long as the class allows in a batch. Default: false',
} as const;

export const fencingToken = {
  type: 'string',
  description: 'The fencing token of the lease, as lock_acquire gave it',
  pattern: '^[0-9]{1,19}$',
  examples: ['42'],
} as const;

const access = {
  type: 'string',
  enum: ['write', 'read'],
  description: 'read excludes writers but no readers. Default: write',
} as const;

const resourceKey = { type: 'string', description: 'The key, such as code:/home/me/a.ts' } as const;

const pair = {
  type: 'object',
  description: 'One key with its token',
  properties: { resource_key: resourceKey, fencing_token: fencingToken },
  required: ['resource_key', 'fencing_token'],
  additionalProperties: false,
} as const;

const pairs = {
  type: 'array',
  description: 'Several keys with their tokens, as lock_acquire gave them',
  items: pair,
  minItems: 1,
  maxItems: 256,
} as const;

const resources = {
  type: 'array',
  description: 'What to lock, by class and name',
  items: {
    type: 'object',
    properties: {
      resource_class: {
        type: 'string',
        description: 'CRIT_CODE, CRIT_DB, MERGE_META, IDEMP_DOCS, or a class of the configuration',
      },
      identifier: {
        type: 'string',
        description: 'A path (with / at its end: a folder and all in it), a database, or a name',
      },
      access,
    },
    required: ['resource_class', 'identifier'],
    additionalProperties: false,
  },
  minItems: 1,
  maxItems: 256,
} as const;

interface AcquireArguments {
  readonly keys?: string[];
  readonly resources?: readonly {
    resource_class: string;
    identifier: string;
    access?: 'read' | 'write';
  }[];
  readonly access?: 'read' | 'write';
  readonly ttl_ms?: number;
  readonly max_wait_ms?: number;
  readonly batch?: boolean;
}

interface LeaseArguments {
  readonly resource_key?: string;
  readonly fencing_token?: string;
  readonly leases?: readonly { resource_key: string; fencing_token: string }[];
}

export function lockTools(context: GuardToolsOptions): Tool[] {
  const { locks } = context.maasl;
  const newLeases = () => new SessionLeases(locks);
  const leasesOf: LeasesOf = ({ connection }) => connection?.kept(newLeases);
  return [acquireTool(context, leasesOf), renewTool(context, leasesOf), releaseTool(context, leasesOf)];
}

/** What the caller's connection has taken, if it has one. */
type LeasesOf = (caller: Caller) => SessionLeases | undefined;

function acquireTool(context: GuardToolsOptions, leasesOf: LeasesOf): Tool {
  return actingTool({
    name: 'lock_acquire',
    title: 'Acquire a lease',
    description:
      'Takes resources for yourself until you release them or their time to live is up: all or none. ' +
      'Name them in "resources", or by their keys in "keys". Renew in time with lock_renew, give back with lock_release. ' +
      'The fs_ tools lock by themselves and work within your own lease.',
    inputSchema: {
      type: 'object',
      properties: {
        resources,
        keys: {
          type: 'array',
          description: 'Keys such as code:/home/me/a.ts; one that ends in / covers all below it',
          items: resourceKey,
          minItems: 1,
          maxItems: 256,
        },
        access,
        ttl_ms: ttlMs,
        max_wait_ms: maxWaitMs,
        batch,
      },
      required: [],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: false, idempotent: false },
    run: async (args, caller) => {
      const [lease, ttl] = await acquire(context, args, caller);
      leasesOf(caller)?.acquired(lease, ttl);
      return leaseBody(lease, ttl);
    },
  });
}

async function acquire(
  context: GuardToolsOptions,
  args: AcquireArguments,
  caller: Caller,
): Promise<readonly [lease: Lease, ttlMs: number]> {
  const { policy, locks } = context.maasl;
  const wanted = await requestsOf(context, args);
  const classes = wanted.map(({ resourceClass }) => resourceClass);
  const mode = args.batch ? 'batch' : 'interactive';
  const ttl = args.ttl_ms ?? Math.min(...classes.map(({ leaseTtlMs }) => leaseTtlMs));
  const lease = await locks.acquire(wanted, {
    agentId: caller.agentId,
    sessionId: caller.sessionId,
    ttlMs: ttl,
    maxWaitMs: args.max_wait_ms ?? Math.max(...classes.map((one) => policy.maxWaitMs(one, mode))),
    detached: true,
    ...given({ signal: caller.signal }),
  });
  // Nobody would learn of it.
  if (caller.signal?.aborted) {
    await lease[Symbol.asyncDispose]();
    throw lockCancelledError(caller.signal.reason);
  }
  return [lease, ttl];
}

async function requestsOf(
  context: GuardToolsOptions,
  args: AcquireArguments,
): Promise<(KeyRequest & { readonly resourceClass: ResourceClass })[]> {
  const { keys = [], access: accessOfAll = 'write' } = args;
  const { policy } = context.maasl;
  const descriptors = (args.resources ?? []).map((one) => ({
    resourceClass: one.resource_class,
    identifier: withinRoot(context, policy.get(one.resource_class).scope, one.identifier),
    access: one.access ?? accessOfAll,
  }));
  const resolved = await resolveResources(policy, descriptors);
  const byKey = keys.map((key) => ({ key, access: accessOfAll, resourceClass: policy.ofKey(key) }));
  const wanted = [...resolved, ...byKey];
  if (wanted.length === 0) refuse('resources', args.resources, 'given, or "keys"');
  return wanted.map(({ key, access: wish, resourceClass }) => ({
    key,
    resourceClass,
    mode: wish === 'read' ? 'shared' : 'exclusive',
  }));
}

/** Relative paths begin at the first root, for the fs_ tools as well. */
function withinRoot({ files }: GuardToolsOptions, scope: string, identifier: string): string {
  const isPath = scope === 'file' || (scope === 'db' && !/^[a-z][a-z+]*:\/\//i.test(identifier));
  if (!isPath || identifier === '' || isAbsolute(identifier)) return identifier;
  return join(files.roots[0] ?? '', identifier);
}

function renewTool({ maasl }: GuardToolsOptions, leasesOf: LeasesOf): Tool {
  return actingTool({
    name: 'lock_renew',
    title: 'Renew a lease',
    description:
      'Lets a lease live on from now. LEASE_LOST: it has expired and somebody else may be at work.',
    inputSchema: {
      type: 'object',
      properties: { resource_key: resourceKey, fencing_token: fencingToken, leases: pairs, ttl_ms: ttlMs },
      required: [],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: false, idempotent: true },
    run: async (args, caller) => {
      const tokens = tokensOf(args);
      const { policy, locks } = maasl;
      const ttl = args.ttl_ms ?? Math.min(...[...tokens.keys()].map((key) => policy.ofKey(key).leaseTtlMs));
      const lease = locks.resume(tokens, { agentId: caller.agentId, sessionId: caller.sessionId }, ttl);
      await lease.renew();
      leasesOf(caller)?.renewed(lease, ttl);
      return leaseBody(lease, ttl);
    },
  });
}

function releaseTool({ maasl }: GuardToolsOptions, leasesOf: LeasesOf): Tool {
  return actingTool({
    name: 'lock_release',
    title: 'Release a lease',
    description: 'Gives a lease back, so that whoever waits goes on. LEASE_LOST: it had expired before.',
    inputSchema: {
      type: 'object',
      properties: { resource_key: resourceKey, fencing_token: fencingToken, leases: pairs },
      required: [],
      additionalProperties: false,
    },
    hints: { readOnly: false, destructive: false, idempotent: true },
    run: async (args, caller) => {
      const tokens = tokensOf(args);
      const lease = maasl.locks.resume(tokens, { agentId: caller.agentId, sessionId: caller.sessionId });
      await lease.release();
      leasesOf(caller)?.released(lease);
      return { released: [...tokens.keys()] };
    },
  });
}

function tokensOf({ resource_key, fencing_token, leases }: LeaseArguments): ReadonlyMap<string, bigint> {
  const one = resource_key !== undefined || fencing_token !== undefined;
  if (one === (leases !== undefined)) {
    refuse('leases', leases, 'given, or else "resource_key" with "fencing_token", not both');
  }
  if (leases) return new Map(leases.map((lease) => [lease.resource_key, tokenOf(lease.fencing_token)]));
  if (resource_key === undefined) refuse('resource_key', resource_key, 'given with "fencing_token"');
  if (fencing_token === undefined) refuse('fencing_token', fencing_token, 'given with "resource_key"');
  return new Map([[resource_key, tokenOf(fencing_token)]]);
}

/** @throws StompError INVALID_REQUEST for a number that no token can be. */
export function tokenOf(text: string): bigint {
  const token = BigInt(text);
  return token <= highestToken ? token : refuse('fencing_token', text, `at most ${highestToken}`);
}

function leaseBody(lease: Lease, ttl: number): object {
  return {
    agent_id: lease.agentId,
    session_id: lease.sessionId,
    leases: Array.from(lease.tokens, ([key, token]) => ({
      resource_key: key,
      fencing_token: token.toString(),
    })),
    ttl_ms: ttl,
    expires_at: new Date(lease.expiresAt).toISOString(),
  };
}
