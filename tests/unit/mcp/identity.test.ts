import { describe, expect, it } from 'vitest';
import { type Claim, resolveCaller } from '../../../ts/mcp/identity.js';

const who = (claim: Partial<Claim>) =>
  resolveCaller({
    meta: undefined,
    headers: undefined,
    connectionId: 'c-1',
    clientName: undefined,
    ...claim,
  });
const caller = (agentId: string, sessionId: string) => expect.objectContaining({ agentId, sessionId });

describe('the caller of a request', () => {
  it('is who _meta says, by short names and by long ones', () => {
    expect(who({ meta: { agent_id: 'ann', session_id: 's' } })).toEqual(caller('ann', 's'));
    const long = { 'stomp-serve/agent_id': 'ann', 'stomp-serve/session_id': 's' };
    expect(who({ meta: long })).toEqual(caller('ann', 's'));
  });

  it('is who the headers say where _meta says nothing', () => {
    const headers = { 'x-agent-id': 'bob', 'x-session-id': 't' };
    expect(who({ headers })).toEqual(caller('bob', 't'));
    expect(who({ headers, meta: { agent_id: 'ann' } })).toEqual(caller('ann', 't'));
    expect(who({ headers, meta: { session_id: 's' } })).toEqual(caller('bob', 's'));
  });

  it('is named after its session, and sits in the connection where none is named', () => {
    expect(who({ meta: { session_id: 's' } })).toEqual(caller('s', 's'));
    expect(who({ meta: { agent_id: 'ann' } })).toEqual(caller('ann', 'c-1'));
    expect(who({ meta: { agent_id: null } })).toEqual(caller('c-1', 'c-1'));
  });

  it('is named after the client and the connection where nobody says anything', () => {
    expect(who({ clientName: 'Claude Code' })).toEqual(caller('claude-code-c-1', 'c-1'));
    expect(who({ clientName: '../…' })).toEqual(caller('c-1', 'c-1'));
    const { agentId } = who({ clientName: 'x'.repeat(300) });
    expect(agentId).toHaveLength(128);
    expect(agentId).toMatch(/x-c-1$/);
  });

  it('is told apart from what the request has said itself', () => {
    expect(who({}).said).toEqual({ agentId: undefined, sessionId: undefined });
    expect(who({ meta: { session_id: 's' } }).said).toEqual({ agentId: undefined, sessionId: 's' });
    const headers = { 'x-agent-id': 'bob', 'x-session-id': 't' };
    expect(who({ headers, meta: { agent_id: 'ann' } }).said).toEqual({ agentId: 'ann', sessionId: 't' });
  });

  it('is refused when its name is none', () => {
    for (const name of ['', 'a b', '.hidden', 7, 'x'.repeat(129), {}]) {
      expect(() => who({ meta: { agent_id: name } })).toThrow(
        expect.objectContaining({
          code: 'INVALID_REQUEST',
          fields: expect.objectContaining({ field: '_meta.agent_id' }),
        }),
      );
    }
    expect(() => who({ headers: { 'x-session-id': 'a/b' } })).toThrow(/no agent id/);
  });
});
