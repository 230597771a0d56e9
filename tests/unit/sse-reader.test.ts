import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSse, type SseMessage, SseParser } from '../../ts/sse-reader.js';

function streamOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

async function read(chunks: readonly Uint8Array[]): Promise<SseMessage[]> {
  const messages: SseMessage[] = [];
  for await (const message of readSse(streamOf(chunks))) messages.push(message);
  return messages;
}

describe('the reader of server-sent events', () => {
  it('reads events with their ids and names', () => {
    expect(new SseParser().push('id: 7\nevent: text\ndata: {"a":1}\n\n')).toEqual([
      { id: '7', event: 'text', data: '{"a":1}' },
    ]);
  });

  it('joins lines of data, and passes over comments and events without data', () => {
    expect(new SseParser().push(': alive\n\nevent: nothing\n\ndata: a\ndata:b\n\n')).toEqual([
      { id: '', event: 'message', data: 'a\nb' },
    ]);
  });

  it('keeps the last id for events that have none', () => {
    const messages = new SseParser().push('id: 7\ndata: a\n\nevent: system\ndata: b\n\n');
    expect(messages.map(({ id }) => id)).toEqual(['7', '7']);
  });

  it('does not give out an event that was cut', async () => {
    expect(await read([Buffer.from('data: whole\n\ndata: half')])).toEqual([
      { id: '', event: 'message', data: 'whole' },
    ]);
  });

  it('reads the same however the bytes are cut, and whatever ends the lines', async () => {
    const text = fc.string({ unit: 'grapheme' }).map((data) => data.replaceAll(/[\r\n]/g, ' '));
    const end = fc.constantFrom('\n', '\r\n');
    const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(fc.array(text), end, sizes, async (texts, ending, cuts) => {
        const bytes = Buffer.from(
          texts.map((data, at) => `id: ${at}${ending}data: ${data}${ending}${ending}`).join(''),
        );
        const chunks: Uint8Array[] = [];
        for (let from = 0, n = 0; from < bytes.length; n++) {
          const size = cuts[n % cuts.length] ?? 1;
          chunks.push(bytes.subarray(from, from + size));
          from += size;
        }
        const messages = await read(chunks);
        expect(messages.map(({ data }) => data)).toEqual(texts);
        expect(messages.map(({ id }) => id)).toEqual(texts.map((_, at) => String(at)));
      }),
    );
  });
});
