/** `POST /v1/completions`: raw prompts in, texts out, in OpenAI's shape. */
import OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { errorOf, events, start } from '../harness.js';

const path = '/v1/completions';

interface Completion {
  agent_id: string;
  choices: { text: string; index: number; logprobs: unknown; finish_reason: string | null }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
}

describe('a raw prompt', () => {
  it('is answered in the shape of OpenAI', async () => {
    const { post, engine } = await start();
    const response = await post(path, { model: 'tiny', prompt: 'Once' });
    const body = (await response.json()) as Completion;
    expect(body).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: 'text_completion',
      created: expect.any(Number),
      model: 'tiny',
      system_fingerprint: 'fp_0123456789',
      agent_id: expect.stringMatching(/^[0-9a-f]{16}$/),
      choices: [{ text: 'Hello there!', index: 0, logprobs: null, finish_reason: 'stop' }],
      usage: expect.objectContaining({ prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }),
    });
    expect(response.headers.get('x-agent-id')).toBe(body.agent_id);
    expect(engine.calls).toEqual([
      {
        agentId: body.agent_id,
        input: 'Once',
        options: { maxTokens: 16, signal: expect.any(AbortSignal) },
      },
    ]);
  });

  it('belongs to the agent that is named, and to another than a chat that says the same', async () => {
    const { post, engine } = await start();
    await post(path, { prompt: 'Hi', session_id: 's1' });
    await post(path, { prompt: 'Hi' }, { 'x-agent-id': 'a1' });
    await post(path, { prompt: 'Hi' });
    await post(path, { prompt: 'Hi' });
    await post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }] });
    const [first, second, third, fourth, chat] = engine.calls.map((call) => call.agentId);
    expect([first, second]).toEqual(['s1', 'a1']);
    expect(fourth).toBe(third);
    expect(chat).not.toBe(third);
  });

  it('may be a list of texts or of token ids, with several answers to each', async () => {
    const { post, engine } = await start();
    engine.scripts.push(...['a', 'b', 'c', 'd'].map((text) => ({ tokens: [text] })));
    const body = (await (
      await post(path, { prompt: ['P', 'Q'], n: 2, best_of: 2, seed: 5, echo: true, session_id: 's' })
    ).json()) as Completion;
    expect(body.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, 'Pa'],
      [1, 'Pb'],
      [2, 'Qc'],
      [3, 'Qd'],
    ]);
    expect(body.usage).toMatchObject({ prompt_tokens: 14, completion_tokens: 4 });
    expect(engine.calls.map(({ agentId, input, options }) => [agentId, input, options.seed])).toEqual([
      ['s', 'P', 5],
      ['', 'P', 6],
      ['', 'Q', 5],
      ['', 'Q', 6],
    ]);
    await post(path, { prompt: [72, 105] });
    await post(path, { prompt: [[72], [105]] });
    expect(engine.calls.slice(4).map((call) => call.input)).toEqual([[72, 105], [72], [105]]);
    const echoed = (await (await post(path, { prompt: [72, 105], echo: true })).json()) as Completion;
    expect(echoed.choices[0]?.text).toBe('HiHello there!');
  });

  it('streams, echo first, usage last', async () => {
    const { post } = await start();
    const data = await events(
      await post(path, { prompt: 'Once', echo: true, stream: true, stream_options: { include_usage: true } }),
    );
    expect(data.pop()).toBe('[DONE]');
    const chunks = data.map((text) => JSON.parse(text) as Completion);
    expect(chunks.map(({ choices }) => choices[0]?.text)).toEqual([
      'Once',
      'Hello',
      ' there',
      '!',
      '',
      undefined,
    ]);
    expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([
      ...Array<null>(4).fill(null),
      'stop',
      undefined,
    ]);
    expect(chunks.map(({ usage }) => usage?.completion_tokens)).toEqual([
      ...Array<undefined>(5).fill(undefined),
      3,
    ]);
  });

  it('tells log-probabilities with offsets from the beginning of the prompt', async () => {
    const { post, engine } = await start();
    const pieces = [
      {
        type: 'text' as const,
        text: 'a',
        tokens: [0x61],
        logprobs: [{ token: 0x61, logprob: -0.5, top: [{ token: 0x62, logprob: -0.25 }] }],
      },
      {
        type: 'text' as const,
        text: 'é!',
        tokens: [0xc3, 0xa9, 0x21],
        logprobs: [0xc3, 0xa9, 0x21].map((token) => ({ token, logprob: -1, top: [] })),
      },
    ];
    engine.script = { pieces };
    const expected = {
      text_offset: [4, 5, 5, 6],
      token_logprobs: [-0.5, -1, -1, -1],
      tokens: ['a', 'bytes:\\xc3', 'bytes:\\xa9', '!'],
      top_logprobs: [{ b: -0.25, a: -0.5 }, { 'bytes:\\xc3': -1 }, { 'bytes:\\xa9': -1 }, { '!': -1 }],
    };
    const whole = (await (await post(path, { prompt: 'Once', logprobs: 1 })).json()) as Completion;
    expect(engine.calls[0]?.options.topLogprobs).toBe(1);
    expect(whole.choices[0]?.logprobs).toEqual(expected);
    const data = await events(await post(path, { prompt: 'Once', logprobs: 1, stream: true }));
    const offsets = data
      .slice(0, -1)
      .map((text) => (JSON.parse(text) as Completion).choices[0]?.logprobs as typeof expected | null)
      .flatMap((logprobs) => logprobs?.text_offset ?? []);
    expect(offsets).toEqual(expected.text_offset);
  });

  it.each([
    [{}, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: [] }, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: ['a', 1] }, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: [1, 'a'] }, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: [[1], []] }, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: [1.5] }, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: Array(129).fill('a') }, 'INVALID_REQUEST', 'prompt'],
    [{ prompt: Array(100).fill('a'), n: 2 }, 'INVALID_REQUEST', 'n'],
    [{ prompt: 'a', max_tokens: 0 }, 'INVALID_REQUEST', 'max_tokens'],
    [{ prompt: 'a', logprobs: 6 }, 'INVALID_REQUEST', 'logprobs'],
    [{ prompt: 'a', n: 2, best_of: 1 }, 'INVALID_REQUEST', 'best_of'],
    [{ prompt: 'a', best_of: 2 }, 'UNSUPPORTED_FIELD', 'best_of'],
    [{ prompt: 'a', suffix: 'z' }, 'UNSUPPORTED_FIELD', 'suffix'],
    [{ prompt: 'a', echo: true, logprobs: 0 }, 'UNSUPPORTED_FIELD', 'echo'],
    [{ prompt: 'a', tools: [] }, 'INVALID_REQUEST', 'tools'],
  ])('is refused: %j', async (body, code, param) => {
    const { post, engine } = await start();
    const response = await post(path, body);
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ code, param });
    expect(engine.calls).toEqual([]);
  });
});

it('the official client reads completions, whole and streamed', async () => {
  const { url } = await start();
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  const whole = await client.completions.create({ model: 'tiny', prompt: 'Once', suffix: null });
  expect(whole.choices[0]?.text).toBe('Hello there!');
  let text = '';
  for await (const chunk of await client.completions.create({
    model: 'tiny',
    prompt: 'Once',
    stream: true,
  })) {
    text += chunk.choices[0]?.text ?? '';
  }
  expect(text).toBe('Hello there!');
});
