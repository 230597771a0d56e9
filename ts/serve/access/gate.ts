/** What every request passes before a route sees it: is it well made, from where, by whom, how often. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isLoopback } from '../../config/schema.js';
import { StompError } from '../../errors.js';
import { Bodies, type BodyLimits } from './bodies.js';
import { admit, type Credentials } from './caller.js';
import { type ConnectionOptions, Connections } from './connections.js';
import { checkOrigins, shareWithPage } from './cors.js';
import { ANYONE, KeyRing } from './keys.js';
import { type Allowed, checkPage } from './pages.js';
import { type RateLimitOptions, RateLimits } from './rate-limits.js';

/** Who may call a server, from where, and how often. */
export interface GateOptions {
  /** Without, everybody may do everything, and only this machine is served. */
  keys?: KeyRing | undefined;
  /**
   * Whoever sends it may open gates that a person holds: 16 to 512 visible ASCII characters. Without it only keys of the
   * role `approver` do.
   */
  approverToken?: string | undefined;
  /** Host names to answer to beside the loopback ones, without ports. */
  allowedHosts?: readonly string[] | undefined;
  /** Origins whose pages may call and read answers: `https://agents.example`. */
  corsOrigins?: readonly string[] | undefined;
  /** Refuses with RATE_LIMITED. @default no limits */
  rateLimits?: RateLimitOptions | undefined;
  /** How many there may be, and how slow. */
  connections?: ConnectionOptions | undefined;
  /** Of the bodies of all requests together. */
  bodies?: BodyLimits | undefined;
}

export class Gate {
  readonly connections: Connections;
  readonly bodies: Bodies;
  readonly rates: RateLimits;
  readonly #credentials: Credentials;
  #allowed: Allowed;

  /** @throws StompError CONFIG_INVALID */
  constructor({ keys, approverToken, allowedHosts = [], corsOrigins = [], ...limits }: GateOptions) {
    this.connections = new Connections(limits.connections);
    this.bodies = new Bodies(limits.bodies);
    this.rates = new RateLimits(limits.rateLimits);
    const approver =
      approverToken === undefined ? undefined : new KeyRing([{ role: 'approver', key: approverToken }]);
    this.#credentials = { keys, approver };
    this.#allowed = {
      hosts: allowedHosts.map((host) => host.toLowerCase()),
      origins: checkOrigins(corsOrigins),
      addresses: false,
    };
    if (this.rates.limitsKeys && !keys) {
      throw new StompError('CONFIG_INVALID', 'A limit per key needs keys: give an --api-key-file.', {
        fields: { field: 'rate-limit-per-key' },
      });
    }
  }

  /**
   * To be called before listening on an address that other machines reach.
   * @throws StompError CONFIG_INVALID without keys, or when it was not allowed.
   */
  openTo(host: string, isRemoteAllowed: boolean): void {
    checkRemote(host, isRemoteAllowed, this.#credentials.keys !== undefined);
    this.#allowed = {
      ...this.#allowed,
      hosts: [...this.#allowed.hosts, host.toLowerCase()],
      addresses: true,
    };
  }

  /** Installs the gate before all routes. */
  guard(app: FastifyInstance): void {
    app.decorateRequest('caller', null as never);
    app.addHook('onRequest', async (request, reply) => {
      if (this.#isAnswered(request, reply)) return reply;
      return undefined;
    });
  }

  /** @throws StompError when the request may not go on. */
  #isAnswered(request: FastifyRequest, reply: FastifyReply): boolean {
    request.caller = ANYONE;
    this.connections.begin(request.raw, reply.raw);
    reply.raw.once('close', () => this.bodies.release(request.raw));
    checkPage(request.headers, this.#allowed);
    if (shareWithPage(request, reply, this.#allowed.origins)) return true;
    admit(request, reply, this.#credentials);
    const { id } = request.caller;
    if (id !== undefined && isCounted(request.url)) this.rates.key(id, reply);
    return false;
  }
}

/** Watching over the server is not counted. */
function isCounted(path: string): boolean {
  return path !== '/metrics' && !path.startsWith('/metrics?');
}

/** @throws StompError CONFIG_INVALID when other machines reach `host` and must not. */
export function checkRemote(host: string, isAllowed: boolean, hasKeys: boolean): void {
  if (isLoopback(host) || (isAllowed && hasKeys)) return;
  const missing = [
    ...(isAllowed ? [] : ['--allow-remote']),
    ...(hasKeys ? [] : ['--api-key-file FILE ("stomp-serve keys new" makes API keys)']),
  ];
  throw new StompError(
    'CONFIG_INVALID',
    `Other machines can reach ${host}: add ${missing.join(' and ')}, or listen on 127.0.0.1 and use an SSH tunnel.`,
    { fields: { field: 'host', value: host, allowed: '127.0.0.1, ::1, localhost' } },
  );
}
