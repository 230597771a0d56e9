import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChatMessage, ToolCall, ToolDefinition } from '../../../ts/engine/types.js';
import { AnonymousAgents, type SavedAgents } from '../../../ts/serve/anonymous.js';
import { errorOf, hello, start } from './harness.js';

const nobody: SavedAgents = { model: 'm', names: async () => [], messages: async () => [] };
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
  const begin = (table: AnonymousAgents, messages: ChatMessage[], salt = '', saved = nobody) =>
    table.begin(messages, salt, [], saved);
  const turn = async (
    table: AnonymousAgents,
    messages: ChatMessage[],
    answer: string,
    salt = '',
    saved = nobody,
  ): Promise<string> => {
    const { agentId, settle } = await begin(table, messages, salt, saved);
    settle({ text: answer, toolCalls: [] });
    return agentId;
  };

  it('is named after system prompt and first user message', async () => {
    const id = await turn(agents(), [{ role: 'system', content: 'S' }, user('U')], 'A');
    const canonical = JSON.stringify(['', 'tools', [], 'system', ['S'], 'user', 'U']);
    expect(id).toBe(createHash('sha256').update(canonical).digest('hex').slice(0, 16));
  });

  it('keeps its name from turn to turn', async () => {
    const table = agents();
    const first = await turn(table, [user('U1')], 'A1');
    expect(await turn(table, [user('U1'), assistant('A1'), user('U2')], 'A2')).toBe(first);
    expect(
      await turn(table, [user('U1'), assistant('A1'), user('U2'), assistant('A2 \n'), user('U3')], 'A3'),
    ).toBe(first);
  });

  it('keeps its name when its last answer is asked for again, or was changed by the client', async () => {
    const table = agents();
    const first = await turn(table, [user('U1')], 'A1');
    expect(await turn(table, [user('U1')], 'A1 again')).toBe(first);
    expect(await turn(table, [user('U1'), assistant('shortened'), user('U2')], 'A2')).toBe(first);
  });

  it('becomes two where it parts', async () => {
    const table = agents();
    const first = await turn(table, [user('U1')], 'A1');
    await turn(table, [user('U1'), assistant('A1'), user('left')], 'L');
    const right = await turn(table, [user('U1'), assistant('A1'), user('right')], 'R');
    expect(right).not.toBe(first);
    expect(right).toMatch(new RegExp(`^${first}-[0-9a-f]{16}$`));
    expect(
      await turn(table, [user('U1'), assistant('A1'), user('right'), assistant('R'), user('on')], 'R2'),
    ).toBe(right);
    expect(
      await turn(table, [user('U1'), assistant('A1'), user('left'), assistant('L'), user('on')], 'L2'),
    ).toBe(first);
  });

  it('is not made to wait for another that begins alike at the same time', async () => {
    const table = agents();
    const turns = await Promise.all(Array.from({ length: 300 }, () => begin(table, [user('U')])));
    expect(new Set(turns.map(({ agentId }) => agentId)).size).toBe(300);
  });

  it('is told apart by its salt', async () => {
    const table = agents();
    expect(await turn(table, [user('U')], 'A', 'one')).not.toBe(await turn(table, [user('U')], 'A', 'two'));
  });

  it('is forgotten when there are too many, without harm', async () => {
    const table = new AnonymousAgents(2);
    const first = await turn(table, [user('1')], 'A');
    await turn(table, [user('2')], 'A');
    await turn(table, [user('3')], 'A');
    expect(await turn(table, [user('1'), assistant('A'), user('on')], 'B')).toBe(first);
  });

  it('costs as little memory when it is long as when it is short', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const agents = new AnonymousAgents();
    const turn = async (text: string, length: number) => {
      const more = Array<ChatMessage>(length).fill({ role: 'user', content: 'x' });
      (await begin(agents, [{ role: 'user', content: text }, ...more])).settle(undefined);
    };
    await turn('first', 2000);
    gc();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 200; i++) await turn(`conversation ${i}`, 2000);
    gc();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4 << 20);
    await turn('the agents are still there', 1);
  });

  it('is free again after a turn that failed', async () => {
    const table = agents();
    const { agentId, settle } = await begin(table, [user('U')]);
    settle(undefined);
    expect(await turn(table, [user('U')], 'A')).toBe(agentId);
  });

  it('is told apart by its tools, in whatever order and spelling they come', async () => {
    const name = async (tools: ToolDefinition[]): Promise<string> =>
      (await agents().begin([user('U')], '', tools, nobody)).agentId;
    const a = { name: 'a', parameters: { type: 'object', properties: { x: { type: 'string' } } } };
    const same = { parameters: { properties: { x: { type: 'string' } }, type: 'object' }, name: 'a' };
    const b = { name: 'b' };
    expect(await name([a, b])).toBe(await name([b, same]));
    const others = [[], [a], [b], [a, { ...b, description: 'B' }], [a, { name: 'c' }]];
    expect(new Set(await Promise.all([[a, b], ...others].map(name))).size).toBe(1 + others.length);
  });

  it('keeps its name through calls, however their arguments and ids are written when they come back', async () => {
    const table = agents();
    const call = (id: string, args: string): ToolCall => ({ id, name: 'f', arguments: args });
    const { agentId, settle } = await begin(table, [user('U')]);
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
    const second = await begin(table, [user('U'), ...rest]);
    expect(second.agentId).toBe(agentId);
    second.settle({ text: 'Done', toolCalls: [] });
    // The conversation has gone on from there, so this one has parted from it.
    const parted: ChatMessage[] = [
      { role: 'assistant', content: '', toolCalls: [call('c1', '{"a":"other"}')] },
      { role: 'tool', toolCallId: 'c1', content: 'R' },
    ];
    expect((await begin(table, [user('U'), ...parted])).agentId).not.toBe(agentId);
    expect((await begin(table, [user('U'), ...rest, assistant('Done'), user('On')])).agentId).toBe(agentId);
  });

  it('is told apart by what its tools answered', async () => {
    const table = agents();
    const called: ChatMessage = {
      role: 'assistant',
      content: '',
      toolCalls: [{ id: 'c', name: 'f', arguments: 'no JSON {' }],
    };
    const result = (content: string): ChatMessage => ({ role: 'tool', toolCallId: 'c', content });
    const first = await turn(table, [user('U'), called, result('one')], 'A');
    expect(await turn(table, [user('U'), called, result('two')], 'B')).not.toBe(first);
  });

  it('keeps its name whatever JSON the arguments are, spelled however', async () => {
    await fc.assert(
      fc.asyncProperty(fc.json(), fc.integer({ min: 0, max: 4 }), async (json, indent) => {
        const table = agents();
        const { agentId, settle } = await begin(table, [user('U')]);
        settle({ text: '', toolCalls: [{ id: '1', name: 'f', arguments: json }] });
        const again = (args: string): ChatMessage[] => [
          user('U'),
          { role: 'assistant', content: '', toolCalls: [{ id: '2', name: 'f', arguments: args }] },
          { role: 'tool', toolCallId: '2', content: 'R' },
        ];
        const second = await begin(table, again(JSON.stringify(JSON.parse(json), undefined, indent)));
        second.settle({ text: 'A', toolCalls: [] });
        // Only the last answer of what is continued may differ, and it is not this one any more.
        const third = await begin(table, [...again(json), assistant('A'), user('On')]);
        return second.agentId === agentId && third.agentId === agentId;
      }),
    );
  });

  it('goes on as the one of two that gave its answer', async () => {
    const table = agents();
    const [left, right] = await Promise.all([begin(table, [user('U')]), begin(table, [user('U')])]);
    left.settle({ text: 'L', toolCalls: [] });
    right.settle({ text: 'R', toolCalls: [] });
    expect(await turn(table, [user('U'), assistant('R'), user('on')], 'R2')).toBe(right.agentId);
    expect(await turn(table, [user('U'), assistant('L'), user('on')], 'L2')).toBe(left.agentId);
  });
});

describe('a conversation without a name, after a restart', () => {
  /** What the agents have said, as a server would keep it. */
  class Files implements SavedAgents {
    model = 'm';
    readonly all = new Map<string, ChatMessage[]>();
    readonly read: string[] = [];
    listings = 0;

    async names(prefix: string): Promise<string[]> {
      this.listings++;
      return [...this.all.keys()].filter((id) => id.startsWith(prefix));
    }

    async messages(id: string): Promise<ChatMessage[]> {
      this.read.push(id);
      return this.all.get(id) ?? [];
    }
  }

  /** A client with a conversation of its own. */
  class Client {
    readonly messages: ChatMessage[] = [];
    readonly names: string[] = [];

    async says(text: string, table: AnonymousAgents, files: Files, answer = `so: ${text}`): Promise<string> {
      this.messages.push(user(text));
      const { agentId, settle } = await table.begin([...this.messages], '', [], files);
      settle({ text: answer, toolCalls: [] });
      this.messages.push(assistant(answer));
      files.all.set(agentId, [...this.messages]);
      this.names.push(agentId);
      return agentId;
    }
  }

  it('keeps its name, whichever of those that begin alike comes first', async () => {
    const files = new Files();
    const clients = Array.from({ length: 4 }, () => new Client());
    const before = new AnonymousAgents();
    for (const [i, client] of clients.entries()) {
      await client.says('hello', before, files);
      await client.says(`I am ${i}`, before, files);
    }
    const after = new AnonymousAgents();
    for (const client of [...clients].reverse()) await client.says('on', after, files);
    for (const { names } of clients) expect(names.at(-1)).toBe(names.at(-2));
    expect(new Set(clients.map(({ names }) => names.at(-1))).size).toBe(4);
  });

  it('keeps its name when its last turn was not kept, or is sent again', async () => {
    const files = new Files();
    const [first, second] = [new Client(), new Client()];
    const before = new AnonymousAgents();
    for (const text of ['hello', 'I am first', 'lost']) await first.says(text, before, files);
    files.all.set(first.names[0] ?? '', first.messages.slice(0, -2));
    for (const text of ['hello', 'I am second', 'again']) await second.says(text, before, files);
    second.messages.splice(-2);
    const after = new AnonymousAgents();
    expect(await second.says('again', after, files)).toBe(second.names[1]);
    expect(await first.says('on', after, files)).toBe(first.names[1]);
  });

  it('gets a name of its own where it goes another way than those on disk', async () => {
    const files = new Files();
    const known = new Client();
    const before = new AnonymousAgents();
    for (const text of ['hello', 'I am known']) await known.says(text, before, files);
    const stranger = new Client();
    stranger.messages.push(user('hello'), assistant('so: hello'));
    const after = new AnonymousAgents();
    expect(await stranger.says('I am a stranger', after, files)).not.toBe(known.names[0]);
    expect(await known.says('on', after, files)).toBe(known.names[0]);
  });

  it('keeps its name though nothing is known of its messages', async () => {
    const files = new Files();
    const client = new Client();
    await client.says('hello', new AnonymousAgents(), files);
    files.all.set(client.names[0] ?? '', []);
    expect(await client.says('on', new AnonymousAgents(), files)).toBe(client.names[0]);
  });

  it('costs one look at the names, and one at each agent that it may belong to', async () => {
    const files = new Files();
    const clients = Array.from({ length: 20 }, () => new Client());
    const before = new AnonymousAgents();
    for (const [i, client] of clients.entries()) {
      await client.says('hello', before, files);
      await client.says(`I am ${i}`, before, files);
      await client.says('yes', before, files);
    }
    files.read.length = 0;
    files.listings = 0;
    const after = new AnonymousAgents();
    for (const text of ['on', 'and on', 'and on again']) await clients[7]?.says(text, after, files);
    expect(files.listings).toBe(1);
    expect(new Set(files.read).size).toBe(files.read.length);
    await Promise.all(clients.map((client) => client.says('bye', after, files)));
    expect(files.listings).toBe(1);
    expect(files.read.sort()).toEqual([...files.all.keys()].sort());
  });

  it('keeps its name when its beginning was forgotten meanwhile', async () => {
    const files = new Files();
    const table = new AnonymousAgents(1);
    const [first, second] = [new Client(), new Client()];
    for (const client of [first, second]) await client.says('hello', table, files);
    await first.says('I am first', table, files);
    await second.says('I am second', table, files);
    await new Client().says('something else', table, files);
    expect(await second.says('on', table, files)).toBe(second.names.at(-2));
    expect(await first.says('on', table, files)).toBe(first.names.at(-2));
  });

  it('asks again when the agents could not be listed', async () => {
    const files = new Files();
    const client = new Client();
    await client.says('hello', new AnonymousAgents(), files);
    const after = new AnonymousAgents();
    const broken = { ...files, names: () => Promise.reject(new Error('no disk')), model: 'm' };
    const messages = [...client.messages, user('on')];
    await expect(after.begin(messages, '', [], broken as unknown as SavedAgents)).rejects.toThrow('no disk');
    expect(await client.says('on', after, files)).toBe(client.names[0]);
  });
});
