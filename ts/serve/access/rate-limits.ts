/** How often a key and an agent may ask, and what the answer says of it. */
import type { FastifyReply } from 'fastify';
import { StompError } from '../../errors.js';
import { type Allowance, RateLimiter } from './rate-limiter.js';

/** Requests a minute; absent or 0: no limit. */
export interface RateLimitOptions {
  /** Turns of one agent. */
  perAgent?: number | undefined;
  /** Requests of one key below `/v1` and to `/mcp`. */
  perKey?: number | undefined;
  /** Milliseconds, never going back. @default performance.now */
  now?: () => number;
}

const MAX_PER_MINUTE = 1_000_000;

export class RateLimits {
  readonly #agents: RateLimiter | undefined;
  readonly #keys: RateLimiter | undefined;

  /** @throws StompError CONFIG_INVALID */
  constructor({ perAgent, perKey, now }: RateLimitOptions = {}) {
    this.#agents = limiter('rate-limit-per-agent', perAgent, now);
    this.#keys = limiter('rate-limit-per-key', perKey, now);
  }

  get limitsKeys(): boolean {
    return this.#keys !== undefined;
  }

  /** @throws StompError RATE_LIMITED */
  key(id: string, reply: FastifyReply): void {
    if (this.#keys) spend(this.#keys.take(id), 'key', reply, {});
  }

  /** @throws StompError RATE_LIMITED */
  agent(agentId: string, reply: FastifyReply): void {
    if (this.#agents) spend(this.#agents.take(agentId), 'agent', reply, { agent_id: agentId });
  }
}

function limiter(field: string, perMinute = 0, now: (() => number) | undefined): RateLimiter | undefined {
  if (!Number.isInteger(perMinute) || perMinute < 0 || perMinute > MAX_PER_MINUTE) {
    throw new StompError('CONFIG_INVALID', `${field} must be an integer from 0 to ${MAX_PER_MINUTE}.`, {
      fields: { field, value: perMinute, allowed: `0 to ${MAX_PER_MINUTE}` },
    });
  }
  return perMinute === 0 ? undefined : new RateLimiter({ perMinute, now });
}

function spend(
  allowance: Allowance,
  scope: 'agent' | 'key',
  reply: FastifyReply,
  fields: Readonly<Record<string, string>>,
): void {
  tell(allowance, reply);
  const { limit, retryAfterMs } = allowance;
  if (retryAfterMs === 0) return;
  const who = scope === 'agent' ? 'This agent' : 'This key';
  throw new StompError(
    'RATE_LIMITED',
    `${who} may ask ${limit} times a minute; try again in ${Math.ceil(retryAfterMs / 1000)} s.`,
    { fields: { ...fields, scope, limit_per_minute: limit, retry_after_ms: retryAfterMs } },
  );
}

/** Named as OpenAI names them, which its clients read. Of two limits the one with less left. */
function tell({ limit, remaining, resetMs }: Allowance, reply: FastifyReply): void {
  const told = reply.getHeader('x-ratelimit-remaining-requests');
  if (told !== undefined && Number(told) < remaining) return;
  void reply.header('x-ratelimit-limit-requests', String(limit));
  void reply.header('x-ratelimit-remaining-requests', String(remaining));
  void reply.header('x-ratelimit-reset-requests', `${Math.ceil(resetMs / 1000)}s`);
}
