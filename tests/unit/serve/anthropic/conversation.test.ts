import { describe, expect, it } from 'vitest';
import { readConversation } from '../../../../ts/serve/anthropic/conversation.js';
import { Fields } from '../../../../ts/serve/fields.js';
import { start } from '../harness.js';
import { base, path } from './wire.js';

const read = (messages: unknown, system?: unknown) => readConversation(new Fields({ messages, system }));
const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown) => ({ role: 'assistant', content });
const use = (id: string, name = 'get_weather', input: object = { location: 'SF' }) => ({
  type: 'tool_use',
  id,
  name,
  input,
});
const result = (tool_use_id: string, content?: unknown, more: object = {}) => ({
  type: 'tool_result',
  tool_use_id,
  content,
  ...more,
});
const said = (text: string) => ({ type: 'text', text });

describe('the system prompt', () => {
  it('is a text, or blocks in the order given, whatever is marked for caching', () => {
    expect(read([user('Hi')], 'Be kind.')[0]).toEqual({ role: 'system', content: 'Be kind.' });
    const blocks = [{ ...said('Be kind.'), cache_control: { type: 'ephemeral' } }, said('Be brief.')];
    expect(read([user('Hi')], blocks)[0]).toEqual({ role: 'system', content: 'Be kind.\nBe brief.' });
  });

  it('is not there when nothing is in it', () => {
    expect(read([user('Hi')], [])).toEqual([{ role: 'user', content: 'Hi' }]);
    expect(read([user('Hi')], '')).toEqual([{ role: 'user', content: 'Hi' }]);
  });

  it('is the same in every turn, and so is the agent, though the client stamps each', async () => {
    const { engine, post } = await start();
    const turn = (stamp: string, left: number) =>
      post(path, {
        ...base,
        system: [
          said(`x-anthropic-billing-header: cc_version=2.1.197.${stamp}; cc_entrypoint=cli; cch=${stamp};`),
          said('Be kind.'),
        ],
        messages: [
          user([
            said('Hello'),
            said(`<system-reminder>\nToken usage: ${200 - left}/200; ${left} remaining\n</system-reminder>`),
          ]),
        ],
      });
    const agents = [await turn('c40', 150), await turn('0aa', 20)].map((one) =>
      one.headers.get('x-agent-id'),
    );
    expect(agents[0]).toBe(agents[1]);
    expect(engine.calls[0]?.input).toEqual(engine.calls[1]?.input);
    expect(engine.calls[0]?.input).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hello' },
    ]);
  });
});

describe('messages', () => {
  it('keep calls and results as they follow each other, and text after a result as what the user says', () => {
    expect(
      read([
        user('Weather?'),
        assistant([
          { type: 'thinking', thinking: 'Look it up.', signature: 'x' },
          { type: 'redacted_thinking', data: 'abc' },
          said('I look.'),
          use('a'),
          use('b', 'get_time', {}),
        ]),
        user([
          result('a', '15 degrees'),
          result('b', [said('It is'), said('noon.')]),
          said('And now?'),
          said('Quick!'),
        ]),
      ]),
    ).toEqual([
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: 'I look.',
        reasoning: 'Look it up.',
        toolCalls: [
          { id: 'a', name: 'get_weather', arguments: '{"location":"SF"}' },
          { id: 'b', name: 'get_time', arguments: '{}' },
        ],
      },
      { role: 'tool', name: 'get_weather', toolCallId: 'a', content: '15 degrees' },
      { role: 'tool', name: 'get_time', toolCallId: 'b', content: 'It is\nnoon.' },
      { role: 'user', content: 'And now?\nQuick!' },
    ]);
  });

  it('say of a result that it is an error, and take one without content', () => {
    const messages = [user('Go'), assistant([use('a'), use('b')])];
    const results = [
      result('a', 'no such file', { is_error: true }),
      result('b', undefined, { is_error: false }),
    ];
    expect(read([...messages, user(results)]).slice(2)).toEqual([
      expect.objectContaining({ content: 'Error: no such file' }),
      expect.objectContaining({ content: '' }),
    ]);
  });

  it('of one speaker in a row are one turn', () => {
    expect(
      read([
        user('One'),
        user('Two'),
        assistant([said('A'), said('B')]),
        assistant([use('a')]),
        assistant([use('b')]),
        user([result('a', '1'), result('b', '2')]),
      ]),
    ).toEqual([
      { role: 'user', content: 'One\nTwo' },
      {
        role: 'assistant',
        content: 'AB',
        toolCalls: [expect.objectContaining({ id: 'a' }), expect.objectContaining({ id: 'b' })],
      },
      expect.objectContaining({ role: 'tool', toolCallId: 'a' }),
      expect.objectContaining({ role: 'tool', toolCallId: 'b' }),
    ]);
  });

  it('may begin with the assistant', () => {
    expect(read([assistant('Hello!'), user('Hi')])).toHaveLength(2);
  });

  it('of the system belong to the prompt at the beginning, and to what the user says later on', () => {
    expect(read([{ role: 'system', content: 'Be brief.' }, user('Hi')], 'Be kind.')).toEqual([
      { role: 'system', content: 'Be kind.\nBe brief.' },
      { role: 'user', content: 'Hi' },
    ]);
    expect(read([user('Hi'), { role: 'system', content: [said('Tools: none.')] }], 'Be kind.')).toEqual([
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hi\n<system-reminder>\nTools: none.\n</system-reminder>' },
    ]);
    const countdown = '<total_tokens>99 tokens left</total_tokens>';
    expect(read([user('Hi'), { role: 'system', content: countdown }])).toEqual([
      { role: 'user', content: 'Hi' },
    ]);
  });

  it('of the system behind the result of a tool stay with it, so that no new turn begins', () => {
    const reminder = { role: 'system', content: [said('Tools: none.')] };
    const turn = [user('Go'), assistant([use('a')]), user([result('a', '15 degrees')]), reminder];
    const [, , ...rest] = read([...turn, assistant('Warm.'), user('Thanks')]);
    const content = '15 degrees\n<system-reminder>\nTools: none.\n</system-reminder>';
    expect(rest).toEqual([
      { role: 'tool', name: 'get_weather', toolCallId: 'a', content },
      { role: 'assistant', content: 'Warm.' },
      { role: 'user', content: 'Thanks' },
    ]);
  });

  it('are never cut where people or tools quote what is left out elsewhere', () => {
    const quoted = 'What is this?\n<total_tokens>99 tokens left</total_tokens>\nIt keeps changing.';
    const file = '<total_tokens>99 tokens left</total_tokens>';
    const messages = [user(quoted), assistant([use('a')]), user([result('a', file)])];
    expect(read(messages).map(({ content }) => content)).toEqual([quoted, '', file]);
  });
});

describe('what cannot be read', () => {
  const image = { type: 'image', source: { type: 'url', url: 'https://a.example/a.png' } };
  it.each([
    ['messages[0].content[0].type', [user([image])]],
    ['messages[0].content[0].type', [user([{ type: 'document', source: {} }])]],
    ['messages[0].content[0].type', [user([{ type: 'search_result' }])]],
    ['messages[0].content[0].type', [user([{ type: 'container_upload', file_id: 'f' }])]],
    ['messages[1].content[0].type', [user('a'), assistant([{ type: 'server_tool_use' }]), user('b')]],
    [
      'messages[2].content[0].content[0].type',
      [user('a'), assistant([use('a')]), user([result('a', [image])])],
    ],
    ['messages[0].content[0].citations', [user([{ ...said('a'), citations: [{}] }])]],
    [
      'messages[1].content[0].caller',
      [user('a'), assistant([{ ...use('a'), caller: { type: 'x' } }]), user('b')],
    ],
    ['messages[1].role', [user('a'), assistant('The answer is (')]],
  ])('is refused by name: %s', (field, messages) => {
    expect(() => read(messages)).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_FIELD', fields: expect.objectContaining({ field }) }),
    );
  });

  it.each([
    ['messages', []],
    ['messages', [{ role: 'system', content: 'a' }]],
    ['messages[0].content', [user([])]],
    ['messages[2].content', [user('a'), assistant('The answer is ('), user([])]],
    ['messages[0]', ['Hi']],
    ['messages[0].role', [{ role: 'tool', content: 'a' }]],
    ['messages[0].content', [{ role: 'user' }]],
    ['messages[0].content', [user({ type: 'text', text: 'a' })]],
    ['messages[0].content[0].type', [user([{}])]],
    ['messages[0].content[0].type', [user([use('a')])]],
    ['messages[1].content[0].type', [user('a'), assistant([result('a', 'b')]), user('c')]],
    ['messages[0].content[0].text', [user([{ type: 'text' }])]],
    ['messages[0].content[0].tool_use_id', [user([result('a', 'b')])]],
    ['messages[0].name', [{ ...user('a'), name: 'ann' }]],
    ['messages[0].content[0].txt', [user([{ ...said('a'), txt: 'a' }])]],
    ['messages[1].content[0].input', [user('a'), assistant([{ ...use('a'), input: 'x' }]), user('b')]],
    [
      'messages[0].content[0].cache_control.ttl',
      [user([{ ...said('a'), cache_control: { type: 'ephemeral', ttl: '9m' } }])],
    ],
  ])('is refused with the place of it: %s', (field, messages) => {
    expect(() => read(messages)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', fields: expect.objectContaining({ field }) }),
    );
  });
});
