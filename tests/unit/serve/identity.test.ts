import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChatMessage, ToolCall, ToolDefinition } from '../../../ts/engine/types.js';
import { AnonymousAgents } from '../../../ts/serve/anonymous.js';
import { errorOf, hello, start } from './harness.js';

const path = '/v1/chat/completions';
const user = (content: string): ChatMessage => ({ role: 'user', content });
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content });

describe('the agent of a request', () => {
  const cases: [string, Record<string, string>, Record<string, string>, string][] = [
    ['X-Agent-ID before all', { 'x-agent-id': 'a1', 'x-session-id': 's1' }, { session_id: 's1' }, 'a1'],
    ['session_id', {}, { session_id: 's2' }, 's2'],
    ['X-Session-ID', { 'x-session-id': 's3' }, {}, 's3'],
    ['both sessions, if they agree', { 'x-session-id': 's4' }, { session_id: 's4' }, 's4'],
  ];
  it.each(cases)('is named by %s', async (_, headers, fields, expected) => {
    const { post, engine } = await start();
    const response = await post(path, { messages: hello, ...fields }, headers);
    expect(response.headers.get('x-agent-id')).toBe(expected);
    expect(((await response.json()) as { agent_id: string }).agent_id).toBe(expected);
    expect(engine.calls[0]?.agentId).toBe(expected);
  });

  it.each([
    [{ 'x-agent-id': 'a/b' }, {}, 'X-Agent-ID'],
    [{ 'x-agent-id': '../x' }, {}, 'X-Agent-ID'],
    [{ 'x-agent-id': 'x'.repeat(129) }, {}, 'X-Agent-ID'],
    [{ 'x-session-id': 'a b' }, {}, 'X-Session-ID'],
    [{}, { session_id: '.hidden' }, 'session_id'],
    [{ 'x-session-id': 'a' }, { session_id: 'b' }, 'session_id'],
  ])('is refused for %j %j', async (headers, fields, param) => {
    const { post } = await start();
    const response = await post(path, { messages: hello, ...fields }, headers);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code: 'INVALID_REQUEST', param });
  });
});

it('keeps bookkeeping of clients out of prompt and name', async () => {
  const { post, engine } = await start();
  const ask = (count: number) => {
    const stamp = `x-anthropic-billing-header: cc_version=2.1.${count}; cch=${count}c1;`;
    const left = `<budget:token_budget>${count}00</budget:token_budget>`;
    const system = [
      { type: 'text', text: `${stamp}\nBe kind.` },
      { type: 'text', text: `${left}\nBe brief.` },
    ];
    return post(path, { messages: [{ role: 'system', content: system }, ...hello] });
  };
  await ask(1);
  await ask(2);
  const [first, second] = engine.calls;
  expect(first?.input).toEqual([
    {
      role: 'system',
      content: [
        { type: 'text', text: 'Be kind.' },
        { type: 'text', text: 'Be brief.' },
      ],
    },
    ...hello,
  ]);
  expect(second?.input).toEqual(first?.input);
  expect(second?.agentId).toBe(first?.agentId);
});

describe('a conversation without a name', () => {
  const agents = (): AnonymousAgents => new AnonymousAgents();
  const turn = (table: AnonymousAgents, messages: ChatMessage[], answer: string, salt = ''): string => {
    const { agentId, settle } = table.begin(messages, salt);
    settle({ text: answer, toolCalls: [] });
    return agentId;
  };

  it('is named after system prompt and first user message', () => {
    const id = turn(agents(), [{ role: 'system', content: 'S' }, user('U')], 'A');
    const canonical = JSON.stringify(['', 'tools', [], 'system', ['S'], 'user', 'U']);
    expect(id).toBe(createHash('sha256').update(canonical).digest('hex').slice(0, 16));
  });

  it('keeps its name from turn to turn', () => {
    const table = agents();
    const first = turn(table, [user('U1')], 'A1');
    expect(turn(table, [user('U1'), assistant('A1'), user('U2')], 'A2')).toBe(first);
    expect(turn(table, [user('U1'), assistant('A1'), user('U2'), assistant('A2 \n'), user('U3')], 'A3')).toBe(
      first,
    );
  });

  it('keeps its name when its last answer is asked for again, or was changed by the client', () => {
    const table = agents();
    const first = turn(table, [user('U1')], 'A1');
    expect(turn(table, [user('U1')], 'A1 again')).toBe(first);
    expect(turn(table, [user('U1'), assistant('shortened'), user('U2')], 'A2')).toBe(first);
  });

  it('becomes two where it parts', () => {
    const table = agents();
    const first = turn(table, [user('U1')], 'A1');
    turn(table, [user('U1'), assistant('A1'), user('left')], 'L');
    const right = turn(table, [user('U1'), assistant('A1'), user('right')], 'R');
    expect(right).not.toBe(first);
    expect(right).toMatch(/^[0-9a-f]{16}$/);
    expect(turn(table, [user('U1'), assistant('A1'), user('right'), assistant('R'), user('on')], 'R2')).toBe(
      right,
    );
    expect(turn(table, [user('U1'), assistant('A1'), user('left'), assistant('L'), user('on')], 'L2')).toBe(
      first,
    );
  });

  it('is not made to wait for another that begins alike at the same time', () => {
    const table = agents();
    const ids = Array.from({ length: 300 }, () => table.begin([user('U')], '').agentId);
    expect(new Set(ids).size).toBe(300);
  });

  it('is told apart by its salt', () => {
    const table = agents();
    expect(turn(table, [user('U')], 'A', 'one')).not.toBe(turn(table, [user('U')], 'A', 'two'));
  });

  it('is forgotten when there are too many, without harm', () => {
    const table = new AnonymousAgents(2);
    const first = turn(table, [user('1')], 'A');
    turn(table, [user('2')], 'A');
    turn(table, [user('3')], 'A');
    expect(turn(table, [user('1'), assistant('A'), user('on')], 'B')).toBe(first);
  });

  it('costs as little memory when it is long as when it is short', () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const agents = new AnonymousAgents();
    const turn = (text: string, length: number) => {
      const more = Array<ChatMessage>(length).fill({ role: 'user', content: 'x' });
      agents.begin([{ role: 'user', content: text }, ...more], '').settle(undefined);
    };
    turn('first', 2000);
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 200; i++) turn(`conversation ${i}`, 2000);
    gc();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4 << 20);
    turn('the agents are still there', 1);
  });

  it('is free again after a turn that failed', () => {
    const table = agents();
    const { agentId, settle } = table.begin([user('U')], '');
    settle(undefined);
    expect(turn(table, [user('U')], 'A')).toBe(agentId);
  });

  it('is told apart by its tools, in whatever order and spelling they come', () => {
    const name = (tools: ToolDefinition[]): string => agents().begin([user('U')], '', tools).agentId;
    const a = { name: 'a', parameters: { type: 'object', properties: { x: { type: 'string' } } } };
    const same = { parameters: { properties: { x: { type: 'string' } }, type: 'object' }, name: 'a' };
    const b = { name: 'b' };
    expect(name([a, b])).toBe(name([b, same]));
    const others = [[], [a], [b], [a, { ...b, description: 'B' }], [a, { name: 'c' }]];
    expect(new Set([[a, b], ...others].map(name)).size).toBe(1 + others.length);
  });

  it('keeps its name through calls, however their arguments and ids are written when they come back', () => {
    const table = agents();
    const call = (id: string, args: string): ToolCall => ({ id, name: 'f', arguments: args });
    const { agentId, settle } = table.begin([user('U')], '');
    settle({ text: ' ', toolCalls: [call('c1', '{"b": [1, 2], "a": "é"}')] });
    const rest: ChatMessage[] = [
      {
        role: 'assistant',
        content: '',
        reasoning: 'left out or not',
        toolCalls: [call('other', '{"a":"\\u00e9","b":[1,2]}')],
      },
      { role: 'tool', toolCallId: 'other', content: 'R' },
    ];
    const second = table.begin([user('U'), ...rest], '');
    expect(second.agentId).toBe(agentId);
    second.settle({ text: 'Done', toolCalls: [] });
    // The conversation has gone on from there, so this one has parted from it.
    const parted: ChatMessage[] = [
      { role: 'assistant', content: '', toolCalls: [call('c1', '{"a":"other"}')] },
      { role: 'tool', toolCallId: 'c1', content: 'R' },
    ];
    expect(table.begin([user('U'), ...parted], '').agentId).not.toBe(agentId);
    expect(table.begin([user('U'), ...rest, assistant('Done'), user('On')], '').agentId).toBe(agentId);
  });

  it('is told apart by what its tools answered', () => {
    const table = agents();
    const called: ChatMessage = {
      role: 'assistant',
      content: '',
      toolCalls: [{ id: 'c', name: 'f', arguments: 'no JSON {' }],
    };
    const result = (content: string): ChatMessage => ({ role: 'tool', toolCallId: 'c', content });
    const first = turn(table, [user('U'), called, result('one')], 'A');
    expect(turn(table, [user('U'), called, result('two')], 'B')).not.toBe(first);
  });

  it('keeps its name whatever JSON the arguments are, spelled however', () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 0, max: 4 }), (json, indent) => {
        const table = agents();
        const { agentId, settle } = table.begin([user('U')], '');
        settle({ text: '', toolCalls: [{ id: '1', name: 'f', arguments: json }] });
        const again = (args: string): ChatMessage[] => [
          user('U'),
          { role: 'assistant', content: '', toolCalls: [{ id: '2', name: 'f', arguments: args }] },
          { role: 'tool', toolCallId: '2', content: 'R' },
        ];
        const second = table.begin(again(JSON.stringify(JSON.parse(json), undefined, indent)), '');
        second.settle({ text: 'A', toolCalls: [] });
        // Only the last answer of what is continued may differ, and it is not this one any more.
        const third = table.begin([...again(json), assistant('A'), user('On')], '');
        return second.agentId === agentId && third.agentId === agentId;
      }),
    );
  });
});
