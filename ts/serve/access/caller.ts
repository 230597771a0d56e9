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

/** What a server knows callers by. */
export interface Credentials {
  /** Undefined: no keys are asked for, and everybody may do everything but open gates. */
  readonly keys: KeyRing | undefined;
  /** The token of the person who opens gates, for servers without keys. */
  readonly approver: KeyRing | undefined;
}

/**
 * Sets `request.caller`, and lets pass who has the role that the route asks for.
 * @throws StompError UNAUTHORIZED, FORBIDDEN
 */
export function admit(request: FastifyRequest, reply: FastifyReply, credentials: Credentials): void {
  const role = roleOf(request);
  request.caller = role === 'anyone' ? ANYONE : identify(request.headers, reply, role, credentials);
  if (request.caller.name !== undefined) request.notes.key = request.caller.name;
  if (role !== 'anyone') requireRole(request, role);
}

/**
 * For handlers whose question depends on more than the path.
 * @throws StompError FORBIDDEN when the caller's key has another role.
 */
export function requireRole(request: FastifyRequest, role: Role): void {
  const { role: has, approves } = request.caller;
  if (role === 'approver' ? approves : has === 'anyone' || has === role || role === 'user') return;
  if (has === 'anyone') throw wantsApprover('This needs');
  throw new StompError('FORBIDDEN', `This needs a key of the role ${role}; yours has the role ${has}.`, {
    fields: { required_role: role, role: has },
  });
}

function roleOf({ routeOptions }: FastifyRequest): Role | 'anyone' {
  if (routeOptions.config.role !== undefined) return routeOptions.config.role;
  return /^\/v1\/admin(\/|$)/.test(routeOptions.url ?? '') ? 'admin' : 'user';
}

function identify(
  headers: IncomingHttpHeaders,
  reply: FastifyReply,
  role: Role,
  credentials: Credentials,
): Caller {
  const presented = presentedKeys(headers);
  for (const key of presented) {
    const caller = callerWith(key, credentials);
    if (caller) return caller;
  }
  if (!credentials.keys && role !== 'approver') return ANYONE;
  throw unknownCaller(reply, presented.length > 0, credentials);
}

function callerWith(key: string, { keys, approver }: Credentials): Caller | undefined {
  const caller = keys?.find(key);
  if (caller) return caller;
  if (!approver?.find(key)) return undefined;
  // It opens gates. Without keys it may do the rest as everybody may.
  return { ...ANYONE, role: keys ? 'approver' : 'anyone', name: 'approver', approves: true };
}

function unknownCaller(reply: FastifyReply, isWrong: boolean, { keys }: Credentials): StompError {
  const challenge = `Bearer realm="stomp-serve"${isWrong ? ', error="invalid_token"' : ''}`;
  void reply.header('www-authenticate', challenge);
  if (!keys) return wantsApprover(isWrong ? 'What was sent is not it: this needs' : 'This needs');
  const what = isWrong ? 'This server does not know this API key' : 'This server wants an API key';
  return new StompError('UNAUTHORIZED', `${what}: send "Authorization: Bearer KEY" or "x-api-key: KEY".`);
}

function wantsApprover(needs: string): StompError {
  const message =
    `${needs} the approver token of this server, sent as "Authorization: Bearer TOKEN". The server prints it when it ` +
    'starts, as a part of the address of its dashboard, and keeps it in the file approver-token beside its database. ' +
    'Commands take it from --approver-token-file or STOMP_APPROVER_TOKEN. Agents are not to have it.';
  return new StompError('UNAUTHORIZED', message, { fields: { required_role: 'approver' } });
}

/** Clients that hold two credentials send both; either will do. */
function presentedKeys(headers: IncomingHttpHeaders): string[] {
  return [bearer(headers.authorization), headers['x-api-key']].filter((key) => typeof key === 'string');
}

function bearer(authorization: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
}
