import { describe, expect, it } from 'vitest';
import { faultsOf, parseEvents } from '../../../bench/experiments/anthropic-events.mjs';

type Data = { type: string } & Record<string, unknown>;

const start: Data = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    content: [],
    model: 'm',
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 3, output_tokens: 0 },
  },
};
const block = (index: number, type = 'text'): Data => ({
  type: 'content_block_start',
  index,
  content_block: { type },
});
const delta = (index: number, type = 'text_delta'): Data => ({
  type: 'content_block_delta',
  index,
  delta: { type },
});
const stop = (index: number): Data => ({ type: 'content_block_stop', index });
const end: Data = {
  type: 'message_delta',
  delta: { stop_reason: 'end_turn', stop_sequence: null },
  usage: { output_tokens: 2 },
};
const last: Data = { type: 'message_stop' };

const faults = (...events: Data[]) => faultsOf(events.map((data) => ({ event: data.type, data })));

describe('a stream of the Messages API', () => {
  it('is in order with blocks of every kind, pings anywhere, and none at all', () => {
    const ping: Data = { type: 'ping' };
    const blocks = [block(0), ping, delta(0), stop(0), block(1, 'tool_use'), delta(1, 'input_json_delta')];
    expect(faults(start, ping, ...blocks, stop(1), end, last)).toEqual([]);
    expect(faults(start, end, last)).toEqual([]);
  });

  it.each<[string, Data[], RegExp]>([
    ['an event before its time', [block(0), start, stop(0), end, last], /content_block_start after begin/],
    [
      'a block that does not end',
      [start, block(0), delta(0), end, last],
      /message_delta after content_block_/,
    ],
    ['an end that does not come', [start, block(0), stop(0), end], /ends with message_delta/],
    [
      'a wrong number',
      [start, block(0), stop(0), block(0), stop(0), end, last],
      /block 0 comes where block 1/,
    ],
    [
      'a delta of another kind',
      [start, block(0), delta(0, 'input_json_delta'), stop(0), end, last],
      /in a block/,
    ],
    ['a kind that is unknown', [start, block(0, 'poem'), stop(0), end, last], /kind poem/],
    ['an unknown event', [start, { type: 'extra' }, end, last], /extra after message_start/],
    ['an unknown reason', [start, { ...end, delta: { stop_reason: 'bored' } }, last], /bored/],
    ['a message that has begun', [{ type: 'message_start', message: {} }, end, last], /another content/],
  ])('is faulty with %s', (_, events, message) => {
    expect(faults(...events).join('\n')).toMatch(message);
  });

  it('has the same name outside and inside', () => {
    const events = parseEvents(`event: ping\ndata: {"type":"message_stop"}\n\n`);
    expect(faultsOf(events)[0]).toBe('event ping carries message_stop');
  });

  it('is refused when it is no such stream', () => {
    expect(() => parseEvents('data: {"type":"ping"}\n\n')).toThrow(/no event/);
  });
});
