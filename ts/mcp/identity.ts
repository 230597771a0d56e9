/**
 * For whom a call is made. Each request says it: in `_meta`, or in headers where there are any. What it leaves open is
 * named after the connection.
 */
import { checkAgentId } from '../engine/agent-id.js';
import type { CallerNames } from '../tools/tool.js';

export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

export interface Claim {
  readonly meta: Readonly<Record<string, unknown>> | undefined;
  readonly headers: Headers | undefined;
  /** The connection's own name. */
  readonly connectionId: string;
  /** What the client calls itself. */
  readonly clientName: string | undefined;
}

/**
 * `X-Agent-ID` and `X-Session-ID`.
 * @throws StompError INVALID_REQUEST for what is no agent id
 */
export function namesFromHeaders(headers: Headers): CallerNames {
  return {
    agentId: checked(headers['x-agent-id'], 'X-Agent-ID'),
    sessionId: checked(headers['x-session-id'], 'X-Session-ID'),
  };
}

/** @throws StompError INVALID_REQUEST for what is no agent id */
export function resolveCaller(claim: Claim): {
  agentId: string;
  sessionId: string;
  said: CallerNames;
} {
  const meta = namesFromMeta(claim.meta ?? {});
  const header = namesFromHeaders(claim.headers ?? {});
  const agentId = meta.agentId ?? header.agentId;
  const sessionId = meta.sessionId ?? header.sessionId;
  return {
    agentId: agentId ?? sessionId ?? nameAfter(claim.connectionId, claim.clientName),
    sessionId: sessionId ?? claim.connectionId,
    said: { agentId, sessionId },
  };
}

function namesFromMeta(meta: Readonly<Record<string, unknown>>): CallerNames {
  const read = (name: string) => checked(meta[name] ?? meta[`stomp-serve/${name}`], `_meta.${name}`);
  return { agentId: read('agent_id'), sessionId: read('session_id') };
}

function checked(value: unknown, field: string): string | undefined {
  return value === undefined || value === null ? undefined : checkAgentId(value, field);
}

/** `claude-code-1b4e…`: who looks at the locks wants to know which program it is. */
function nameAfter(connectionId: string, clientName = ''): string {
  const words = clientName.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return [...words, connectionId].join('-').slice(-128);
}
