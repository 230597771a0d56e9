import { afterAll, describe, expect, it } from 'vitest';
import { checkChatOptions } from '../../../ts/engine/chat-options.js';
import { FormThread } from '../../../ts/engine/form-thread.js';
import { Forms } from '../../../ts/engine/forms.js';
import { Work } from '../../../ts/engine/grammar/work.js';
import { answerGrammar } from '../../../ts/engine/text/tools/answer-grammar.js';
import { AddedTokens } from '../../../ts/engine/text/tools/form-vocabulary.js';
import type { JsonSchema } from '../../../ts/engine/types.js';
import { form } from './tools/readers.js';

const { names: _, isToken: __, ...answerForm } = form('hermes');

/** What is asked for an answer of this schema, as the thread takes it. */
function asked(schema: JsonSchema) {
  const options = checkChatOptions({ responseFormat: { type: 'json_schema', schema } });
  return { ...options, form: answerForm };
}

const text = (schema: JsonSchema) => JSON.stringify(asked(schema));
const small = (i: number): JsonSchema => ({ const: `small ${i}` });

/** Patterns whose products have many states. The more parts, the more work; eight are too many. */
function hostile(parts: number, seed = 0): JsonSchema {
  const patterns = Array.from(
    { length: parts },
    (_, i) => `^[a-${'cdefghij'[i]}]{${i * 50 + 1},${i * 60 + 100 + seed}}x?`,
  );
  return {
    type: 'object',
    patternProperties: Object.fromEntries(patterns.map((each, i) => [each, { minLength: i }])),
  };
}

const thread = new FormThread([]);
const others: { close(): Promise<void> }[] = [thread];
afterAll(async () => {
  for (const each of others) await each.close();
});

/** The longest time for which the event loop did nothing else, while something was awaited. */
async function longestHold(work: Promise<unknown>): Promise<number> {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  await work.catch(() => undefined);
  clearInterval(timer);
  return Math.max(longest, performance.now() - last);
}

describe('the thread of forms', () => {
  it('makes what would be made here, and refuses as it would be refused here', async () => {
    const schema = { type: 'string', format: 'email' };
    const here = JSON.stringify(answerGrammar(asked(schema), new AddedTokens([])));
    expect(await thread.compile(text(schema), 'a')).toBe(here);
    await expect(thread.compile(text({ type: 'string', not: {} }), 'a')).rejects.toMatchObject({
      code: 'UNSUPPORTED_FIELD',
      fields: { field: 'responseFormat.schema/not' },
      status: 400,
    });
  });

  it('leaves the event loop free while it compiles or refuses what is hostile', async () => {
    await thread.compile(text(small(0)), 'a');
    const works = [hostile(4), hostile(6), hostile(6, 1)].map((schema) => thread.compile(text(schema), 'a'));
    const results = Promise.allSettled(works);
    expect(await longestHold(results)).toBeLessThan(500);
    const [first, ...rest] = await results;
    expect(first?.status).toBe('fulfilled');
    for (const { reason } of rest as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: 'INVALID_REQUEST', fields: { limit: 'steps' } });
      expect(reason.message).toContain('responseFormat.schema');
    }
  });

  it('lets those who ask take turns', async () => {
    const order: string[] = [];
    const ask = (client: string, i: number) =>
      thread.compile(text(small(i)), client).then(() => order.push(`${client}${i}`));
    await Promise.all([ask('a', 1), ask('a', 2), ask('a', 3), ask('a', 4), ask('b', 5), ask('c', 6)]);
    expect(order).toEqual(['a1', 'a2', 'b5', 'c6', 'a3', 'a4']);
  });

  it('compiles once what several wait for', async () => {
    const busy = thread.compile(text(hostile(4)), 'a');
    const same = ['a', 'b', 'c'].map((client) => thread.compile(text(small(1)), client));
    const order: string[] = [];
    const after = thread.compile(text(small(2)), 'a').then(() => order.push('other'));
    void same[2]?.then(() => order.push('same'));
    await Promise.all([busy, after, ...same]);
    expect(order).toEqual(['same', 'other']);
  });

  it('drops what is cancelled, waiting or under way', async () => {
    const underWay = new AbortController();
    const waiting = new AbortController();
    const first = thread.compile(text(hostile(6)), 'a', underWay.signal);
    const second = thread.compile(text(hostile(6, 1)), 'a', waiting.signal);
    const third = thread.compile(text(small(1)), 'a');
    waiting.abort();
    await expect(second).rejects.toMatchObject({ code: 'CANCELLED' });
    underWay.abort();
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(third).resolves.toContain('small 1');
    await expect(thread.compile(text(small(2)), 'a', waiting.signal)).rejects.toMatchObject({
      code: 'CANCELLED',
    });
  });

  it('fails with its own request when it dies, and is there again for the next', async () => {
    const added = [null as never];
    const thread = new FormThread(added);
    others.push(thread);
    const error = await thread.compile(text(small(1)), 'a').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'GENERATION_FAILED', status: 500 });
    expect(String(error)).toContain('has ended');
    added.pop();
    await expect(thread.compile(text(small(1)), 'b')).resolves.toContain('small 1');
  });

  it('starts whatever flags Node was started with', async () => {
    const thread = new FormThread([]);
    others.push(thread);
    process.execArgv.push('--max-old-space-size=4096');
    try {
      await expect(thread.compile(text(small(1)), 'a')).resolves.toContain('small 1');
    } finally {
      process.execArgv.pop();
    }
  });

  it('fails with its own requests when it cannot be started', async () => {
    const added = [(() => undefined) as never];
    const thread = new FormThread(added);
    others.push(thread);
    for (const client of ['a', 'b']) {
      const asked = thread.compile(text(small(1)), client);
      await expect(asked).rejects.toMatchObject({ code: 'GENERATION_FAILED', status: 500 });
    }
    added.pop();
    await expect(thread.compile(text(small(1)), 'c')).resolves.toContain('small 1');
  });

  it('refuses all when it is closed', async () => {
    const thread = new FormThread([]);
    const running = thread.compile(text(hostile(6)), 'a');
    const waiting = thread.compile(text(small(1)), 'b');
    const closed = thread.close();
    for (const one of [running, waiting, thread.compile(text(small(2)), 'c')]) {
      await expect(one).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    }
    await closed;
  });
});

describe('forms', () => {
  it('are made alike at once and on the thread', async () => {
    const vocabulary = Object.assign(new AddedTokens([]), { addedTokens: [] });
    const forms = new Forms(vocabulary);
    others.push(forms);
    for (const schema of [small(1), { type: 'string', format: 'hostname' }]) {
      const options = checkChatOptions({ responseFormat: { type: 'json_schema', schema } });
      const made = await forms.grammar(options, form('hermes'), { client: 'a' });
      expect(made).toBe(JSON.stringify(answerGrammar(asked(schema), new AddedTokens([]))));
    }
  });

  it('of a hundred hostile tools hold up neither the event loop nor the small one of somebody else', async () => {
    const vocabulary = Object.assign(new AddedTokens([]), { addedTokens: [] });
    const forms = new Forms(vocabulary);
    others.push(forms);
    const tools = Array.from({ length: 100 }, (_, i) => ({ name: `tool${i}`, parameters: hostile(5, i) }));
    const order: string[] = [];
    const many = forms
      .grammar(checkChatOptions({ tools, toolChoice: 'required' }), form('hermes'), { client: 'a' })
      .then(() => order.push('many'));
    const few = forms
      .grammar(
        checkChatOptions({ responseFormat: { type: 'json_schema', schema: small(1) } }),
        form('hermes'),
        {
          client: 'b',
        },
      )
      .then(() => order.push('few'));
    expect(await longestHold(Promise.all([many, few]))).toBeLessThan(500);
    expect(order).toEqual(['few', 'many']);
  });

  it('cost the same number of steps every time, whatever is remembered', () => {
    const spent = [1, 2].map(() => {
      const work = new Work();
      answerGrammar(
        asked({ type: 'array', items: { type: 'string', format: 'ipv6' } }),
        new AddedTokens([]),
        work,
      );
      return work.spent;
    });
    expect(spent[0]).toBeGreaterThan(1000);
    expect(spent[1]).toBe(spent[0]);
  });
});
