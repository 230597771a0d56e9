/** Finds out who calls, and whether they may. */
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { StompError } from '../../errors.js';
import { ANYONE, type Caller, type KeyRing, type Role } from './keys.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler runs. */
    caller: Caller;
  }
  interface FastifyContextConfig {
    /** Who may call the route: `anyone` without a key. @default 'admin' below /v1/admin, else 'user' */
    role?: Role | 'anyone';
  }
}

/**
 * Sets `request.caller`, and lets pass who has the role that the route asks for.
 * @param keys undefined: no keys are asked for, and everybody may do everything.
 * @throws StompError UNAUTHORIZED, FORBIDDEN
 */
export function admit(request: FastifyRequest, reply: FastifyReply, keys: KeyRing | undefined): void {
  const role = roleOf(request);
  request.caller = keys && role !== 'anyone' ? authenticate(request.headers, reply, keys) : ANYONE;
  if (request.caller.name !== undefined) request.notes.key = request.caller.name;
  if (role !== 'anyone') requireRole(request, role);
}

/**
 * For handlers whose question depends on more than the path.
 * @throws StompError FORBIDDEN when the caller's key has another role.
 */
export function requireRole(request: FastifyRequest, role: Role): void {
  const { role: has } = request.caller;
  if (has === 'anyone' || has === role || role === 'user') return;
  throw new StompError('FORBIDDEN', `This needs a key of the role ${role}; yours has the role ${has}.`, {
    fields: { required_role: role, role: has },
  });
}

function roleOf({ routeOptions }: FastifyRequest): Role | 'anyone' {
  if (routeOptions.config.role !== undefined) return routeOptions.config.role;
  return /^\/v1\/admin(\/|$)/.test(routeOptions.url ?? '') ? 'admin' : 'user';
}

/** Clients that hold two credentials send both; either will do. */
function authenticate(headers: IncomingHttpHeaders, reply: FastifyReply, keys: KeyRing): Caller {
  const presented = [bearer(headers.authorization), headers['x-api-key']].filter(
    (key) => typeof key === 'string',
  );
  for (const key of presented) {
    const caller = keys.find(key);
    if (caller) return caller;
  }
  const isWrong = presented.length > 0;
  const challenge = `Bearer realm="stomp-serve"${isWrong ? ', error="invalid_token"' : ''}`;
  void reply.header('www-authenticate', challenge);
  const what = isWrong ? 'This server does not know this API key' : 'This server wants an API key';
  throw new StompError('UNAUTHORIZED', `${what}: send "Authorization: Bearer KEY" or "x-api-key: KEY".`);
}

function bearer(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}
