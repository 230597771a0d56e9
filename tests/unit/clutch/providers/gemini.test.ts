/** Gemini, against a server that says what the reference says; and what it keeps of prompts there. */
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../../ts/clutch/conversation.js';
import {
  type Asked,
  deaf,
  events,
  HttpDouble,
  InstantClock,
  json,
  listener,
  open,
  request,
  weather,
} from './doubles.js';

function chunk(parts: object[], finishReason?: string, usageMetadata?: object): object {
  const candidate = {
    content: { role: 'model', parts },
    index: 0,
    ...(finishReason ? { finishReason } : {}),
  };
  return { candidates: [candidate], ...(usageMetadata ? { usageMetadata } : {}) };
}

const usage = {
  promptTokenCount: 50,
  cachedContentTokenCount: 40,
  candidatesTokenCount: 6,
  thoughtsTokenCount: 3,
  totalTokenCount: 59,
};
const call = { functionCall: { name: 'get_weather', args: { city: 'Oslo' } }, thoughtSignature: 'c2lnbmVk' };
const calling = events([
  chunk([{ text: 'Look ', thought: true }]),
  chunk([{ text: 'up.', thought: true }]),
  chunk([{ text: 'One ' }]),
  chunk([{ text: 'moment.' }]),
  chunk([call], 'STOP', usage),
]);
const speaking = events([chunk([{ text: 'Rain.' }], 'STOP', usage)]);

/** Counts, caches and answers; `asked` tells what it was asked. */
async function gemini(tokens: number, clock = new InstantClock()) {
  let made = 0;
  const server = await HttpDouble.start((response, asked) => {
    const reply = replyTo(asked, tokens, () => `cachedContents/c${++made}`);
    reply(response, asked);
  });
  const provider = open('gemini', { baseUrl: server.url }, { clock });
  const asked = (path: RegExp, method = 'POST') =>
    server.asked.filter((one) => one.method === method && path.test(one.path));
  return { provider, asked, clock };
}

function replyTo({ method, path }: Asked, totalTokens: number, name: () => string) {
  if (method === 'DELETE') return json(200, {});
  if (path.includes(':countTokens')) return json(200, { totalTokens });
  return path.endsWith('/cachedContents') ? json(200, { name: name(), model: 'models/m' }) : speaking;
}

describe('an answer', () => {
  it('is told as it comes, and goes back with its signatures', async () => {
    const server = await HttpDouble.start(json(200, { totalTokens: 10 }), calling, speaking);
    const provider = open('gemini', { baseUrl: server.url });
    const { heard, onEvent } = listener();
    const answer = await provider.send(request({ tools: [weather] }), onEvent);
    expect(heard.map(({ type }) => type)).toEqual(['reasoning', 'reasoning', 'text', 'text']);
    expect(answer).toMatchObject({
      text: 'One moment.',
      reasoning: 'Look up.',
      calls: [{ name: 'get_weather', arguments: '{"city":"Oslo"}' }],
      finish: 'calls',
      usage: { input: 50, cached: 40, output: 9 },
    });
    const id = answer.calls[0]?.id ?? '';
    const messages: Message[] = [
      { role: 'user', text: 'Hello' },
      {
        role: 'assistant',
        text: answer.text,
        calls: answer.calls,
        kept: { provider: 'gemini', content: answer.kept },
      },
      { role: 'tool', results: [{ id, name: 'get_weather', output: 'Rain', failed: false }] },
    ];
    await provider.send(request({ messages, tools: [weather] }), deaf);
    const { body } = server.asked.at(-1) ?? {};
    expect(body.contents.slice(1)).toEqual([
      { role: 'model', parts: [{ text: 'Look up.', thought: true }, { text: 'One moment.' }, call] },
      { role: 'user', parts: [{ functionResponse: { name: 'get_weather', response: { output: 'Rain' } } }] },
    ]);
    expect(body.generationConfig).toEqual({ temperature: 0, maxOutputTokens: 100 });
    expect(body.tools[0].functionDeclarations[0].parametersJsonSchema).toEqual(weather.parameters);
  });

  it('waits as a refusal says in its details', async () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34.5s' }];
    const refusal = { error: { code: 429, message: 'Quota', status: 'RESOURCE_EXHAUSTED', details } };
    const server = await HttpDouble.start(json(200, { totalTokens: 1 }), json(429, refusal), speaking);
    const { heard, onEvent } = listener();
    await open('gemini', { baseUrl: server.url }).send(request(), onEvent);
    expect(heard[0]).toEqual({ type: 'retry', attempt: 2, waitMs: 34_500, reason: '429 Quota' });
  });

  it('that is cut off is asked for again; one that is withheld is not', async () => {
    const server = await HttpDouble.start(
      json(200, { totalTokens: 1 }),
      events([chunk([{ text: 'Ra' }])], 'cut'),
      events([chunk([{ text: 'Ra' }])]),
      speaking,
      events([{ promptFeedback: { blockReason: 'SAFETY' } }]),
    );
    const provider = open('gemini', { baseUrl: server.url });
    expect((await provider.send(request(), deaf)).text).toBe('Rain.');
    await expect(provider.send(request(), deaf)).rejects.toMatchObject({
      code: 'PROVIDER_FAILED',
      message: expect.stringContaining('SAFETY'),
    });
  });
});

describe('cached content', () => {
  it('is not used where the model has to call a tool: nothing may be said of tools beside it', async () => {
    const { provider, asked } = await gemini(2048);
    await provider.send(request({ tools: [weather], mustCall: 'get_weather' }), deaf);
    expect(asked(/cachedContents$/)).toEqual([]);
    expect(asked(/streamGenerateContent/)[0]?.body).toMatchObject({
      tools: [{ functionDeclarations: [{ name: 'get_weather' }] }],
      toolConfig: { functionCallingConfig: { mode: 'ANY', allowedFunctionNames: ['get_weather'] } },
    });
  });

  it('is made from the least that is worth it, used, and deleted at the end', async () => {
    const { provider, asked } = await gemini(2048);
    const sent = request({ context: ['A file.'], tools: [weather] });
    await provider.send(sent, deaf);
    await provider.send(sent, deaf);
    const [made] = asked(/cachedContents$/);
    expect(asked(/cachedContents$/)).toHaveLength(1);
    expect(made?.body).toMatchObject({
      model: 'models/m',
      ttl: '3600s',
      systemInstruction: { parts: [{ text: 'Be brief.' }, { text: 'A file.' }] },
    });
    for (const { body } of asked(/streamGenerateContent/)) {
      expect(body.cachedContent).toBe('cachedContents/c1');
      expect(body).not.toHaveProperty('systemInstruction');
      expect(body).not.toHaveProperty('tools');
    }
    await provider.close();
    await provider.close();
    expect(asked(/c1$/, 'DELETE')).toHaveLength(1);
  });

  it('is not made of less', async () => {
    const { provider, asked } = await gemini(2047);
    await provider.send(request(), deaf);
    expect(asked(/cachedContents$/)).toHaveLength(0);
    expect(asked(/streamGenerateContent/)[0]?.body.systemInstruction.parts).toEqual([{ text: 'Be brief.' }]);
  });

  it('is made anew at nine tenths of its life', async () => {
    const { provider, asked, clock } = await gemini(5000);
    await provider.send(request(), deaf);
    clock.pass(3_239_999);
    await provider.send(request(), deaf);
    expect(asked(/cachedContents$/)).toHaveLength(1);
    clock.pass(1);
    await provider.send(request(), deaf);
    expect(asked(/cachedContents$/)).toHaveLength(2);
    expect(asked(/c1$/, 'DELETE')).toHaveLength(1);
    expect(asked(/streamGenerateContent/).at(-1)?.body.cachedContent).toBe('cachedContents/c2');
  });

  it('goes when nobody asks with it any more', async () => {
    const { provider, asked } = await gemini(5000);
    await provider.send(request({ agentId: 'ada' }), deaf);
    await provider.send(request({ agentId: 'bob' }), deaf);
    await provider.send(request({ agentId: 'ada', context: ['New'] }), deaf);
    expect(asked(/./, 'DELETE')).toHaveLength(0);
    await provider.send(request({ agentId: 'bob', context: ['New'] }), deaf);
    expect(asked(/c1$/, 'DELETE')).toHaveLength(1);
  });

  it('that is gone is made anew', async () => {
    const gone = { error: { code: 403, message: 'CachedContent not found (or permission denied)' } };
    const server = await HttpDouble.start(
      json(200, { totalTokens: 5000 }),
      json(200, { name: 'cachedContents/old' }),
      json(403, gone),
      json(200, { totalTokens: 5000 }),
      json(200, { name: 'cachedContents/new' }),
      speaking,
      json(200, {}),
    );
    const { heard, onEvent } = listener();
    await open('gemini', { baseUrl: server.url }).send(request(), onEvent);
    expect(heard[0]).toMatchObject({ type: 'retry', waitMs: 0 });
    expect(server.asked.at(-1)?.body.cachedContent).toBe('cachedContents/new');
  });
});
