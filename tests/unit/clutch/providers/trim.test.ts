/** What is left out of a conversation that is too long, and what never is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message, ToolMessage } from '../../../../ts/clutch/conversation.js';
import { estimateMessage } from '../../../../ts/clutch/providers/estimate.js';
import { dropOldestTurns, fitHistory, splitText } from '../../../../ts/clutch/providers/trim.js';
import { request } from './doubles.js';

let calls = 0;

function round(size: number): Message[] {
  const id = `call_${calls++}`;
  return [
    { role: 'assistant', text: '', calls: [{ id, name: 'look', arguments: '{}' }] },
    { role: 'tool', results: [{ id, name: 'look', output: 'x'.repeat(size), failed: false }] },
  ];
}

function turn(rounds: readonly number[], isAnswered: boolean): Message[] {
  const answer: Message[] = isAnswered ? [{ role: 'assistant', text: 'Done.', calls: [] }] : [];
  return [{ role: 'user', text: 'Question' }, ...rounds.flatMap(round), ...answer];
}

const sizes = fc.array(fc.nat(300), { maxLength: 5 });
const conversation = fc
  .tuple(fc.array(sizes, { maxLength: 4 }), sizes, fc.boolean())
  .map(([older, last, isAnswered]) => [
    ...older.flatMap((rounds) => turn(rounds, true)),
    ...turn(last, isAnswered),
  ]);

function total(messages: readonly Message[]): number {
  return messages.reduce((sum, message) => sum + estimateMessage(message), 0);
}

/** Ids of calls, and of results, in their order. */
function ids(messages: readonly Message[], role: 'assistant' | 'tool'): string[] {
  return messages.flatMap((message) => {
    if (message.role !== role) return [];
    return (message.role === 'tool' ? message.results : message.calls).map(({ id }) => id);
  });
}

describe('turns that are dropped', () => {
  it('go whole, oldest first, and no call is ever without its result', () => {
    fc.assert(
      fc.property(conversation, fc.nat(2000), (messages, excess) => {
        const kept = dropOldestTurns(messages, excess, estimateMessage);
        const question = messages.findLast(({ role }) => role === 'user');
        // In their order, none of them changed.
        expect(messages.filter((message) => kept.includes(message))).toEqual(kept);
        expect(kept[0]?.role).toBe('user');
        expect(kept).toContain(question);
        expect(ids(kept, 'tool')).toEqual(ids(kept, 'assistant'));
        expect(kept.at(-1)).toBe(messages.at(-1));
        // But for the question, what stays is the end of what was there.
        const others = (all: readonly Message[]) => all.filter((message) => message !== question);
        expect(others(kept)).toEqual(others(messages).slice(messages.length - kept.length));
      }),
    );
  });

  it('are as many as must go, and not one more', () => {
    fc.assert(
      fc.property(conversation, fc.integer({ min: 1, max: 2000 }), (messages, excess) => {
        const kept = dropOldestTurns(messages, excess, estimateMessage);
        const isEnough = total(messages) - total(kept) >= excess;
        const least = dropOldestTurns(messages, Number.POSITIVE_INFINITY, estimateMessage);
        expect(isEnough || kept.length === least.length).toBe(true);
        const fewer = dropOldestTurns(messages, excess - 1, estimateMessage);
        expect(fewer.length).toBeGreaterThanOrEqual(kept.length);
      }),
    );
  });

  it('are none where nothing must go', () => {
    const messages = turn([10, 20], true);
    expect(dropOldestTurns(messages, 0, estimateMessage)).toEqual(messages);
  });
});

describe('a history', () => {
  const provider = (limit: number) => ({
    historyTokens: async () => limit,
    countTokens: async ({ messages }: { messages: readonly Message[] }) => total(messages),
  });

  it('fits, if its last turn does', async () => {
    const messages = [...turn([300, 300, 300], true), ...turn([30], false)];
    const limit = total(turn([30], false)) + 10;
    const kept = await fitHistory(provider(limit), request({ messages }));
    expect(kept).toEqual(messages.slice(-3));
  });

  it('loses nothing but stale refreshes where that is enough', async () => {
    const stale = { output: `${'x'.repeat(10)}${'y'.repeat(3000)}`, refreshAt: 10 };
    const messages = [...turn([5, 5], true)];
    const tool = messages[2] as ToolMessage;
    messages[2] = { ...tool, results: tool.results.map((one) => ({ ...one, ...stale })) };
    const newest = messages[4] as ToolMessage;
    messages[4] = {
      ...newest,
      results: newest.results.map((one) => ({ ...one, refreshAt: one.output.length })),
    };
    const kept = await fitHistory(provider(500), request({ messages }));
    expect(kept).toHaveLength(messages.length);
    expect(total(kept)).toBeLessThan(500);
  });

  it('keeps its beginning for a while, so that it is found in caches', async () => {
    const messages = turn(
      Array.from({ length: 40 }, () => 300),
      false,
    );
    const beginnings = new Set<Message | undefined>();
    for (let rounds = 0; rounds < 8; rounds++) {
      const kept = await fitHistory(provider(2000), request({ messages }));
      beginnings.add(kept[1]);
      expect(total(kept)).toBeLessThanOrEqual(2000);
      messages.push(...round(300));
    }
    expect(beginnings.size).toBeLessThanOrEqual(4);
  });
});

describe('a long text', () => {
  it('is cut into pieces that give it again, none too long, none within a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 2, max: 9 }), (text, max) => {
        const pieces = splitText(text, max);
        expect(pieces.join('')).toBe(text);
        for (const piece of pieces) {
          expect(piece.length).toBeLessThanOrEqual(max);
          expect(piece).toBe(Buffer.from(piece).toString());
        }
      }),
    );
  });

  it('is cut at line ends', () => {
    expect(splitText('one\ntwo\nthree', 9)).toEqual(['one\ntwo\n', 'three']);
  });
});
