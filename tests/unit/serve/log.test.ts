import { describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { errorOf, hello, start, until } from './harness.js';

const path = '/v1/chat/completions';
/** Stands in whatever a client or a model says. */
const marker = 'xyzzy-secret-42';
const INFO = 30;

describe('the log', () => {
  it('has one line for each request, with who, what, how much and how long', async () => {
    const { post, engine, log } = await start();
    engine.script = { usage: { cachedTokens: 5, missReason: 'evicted' } };
    const headers = { 'x-agent-id': 'ann', 'x-request-id': 'r-1' };
    await post(path, { messages: hello }, headers);
    await until(() => log.some(({ msg }) => msg === 'request'), 'the line is there');
    expect(log.filter(({ level }) => (level as number) >= INFO && level !== undefined)).toContainEqual(
      expect.objectContaining({
        level: INFO,
        reqId: 'r-1',
        msg: 'request',
        method: 'POST',
        route: path,
        agent: 'ann',
        model: 'tiny',
        status: 200,
        promptTokens: 7,
        cachedTokens: 5,
        generatedTokens: 3,
        missReason: 'evicted',
        finishReason: 'stop',
        queuedMs: 1,
        firstTokenMs: 20,
        ms: expect.any(Number),
      }),
    );
    expect(log.filter(({ msg }) => msg === 'request')).toHaveLength(1);
  });

  it('never holds what is said, in no line from info upwards, whatever goes wrong', async () => {
    const { post, engine, log } = await start();
    const said = [{ role: 'user', content: `Say ${marker}` }];
    const foreign = new TypeError(`Cannot read ${marker}`, { cause: new Error(`below: ${marker}`) });
    const tools = [{ type: 'function', function: { name: marker, parameters: { type: marker } } }];
    const scripts = [
      { tokens: [marker, marker] },
      { failAt: 1, failure: foreign as never },
      { failAt: 0, failure: foreign as never },
      { refusal: foreign as never },
      {
        failAt: 1,
        failure: new StompError('GENERATION_FAILED', `Unexpected: ${marker}`, { cause: foreign }),
      },
      { refusal: new StompError('INVALID_REQUEST', `The template says ${marker}.`) },
    ];
    for (const script of scripts) {
      engine.script = script;
      for (const stream of [false, true]) {
        await (await post(path, { messages: said, stream })).text();
        await (await post('/v1/agents/ann/generate', { prompt: marker, stream })).text();
      }
    }
    for (const body of [
      `{"messages": [{"role": "user", "content": "${marker}`,
      { messages: [{ role: marker, content: marker }] },
      { messages: said, temperature: marker },
      { messages: said, model: marker.repeat(3) },
      { messages: said, tools, tool_choice: marker },
      { messages: [...said, { role: 'assistant', content: null, tool_calls: [{ id: marker }] }] },
    ]) {
      await (await post(path, body)).text();
    }
    await until(() => log.filter(({ msg }) => msg === 'request').length >= 30, 'every request has its line');
    const lines = log.filter(({ level }) => (level as number) >= INFO);
    expect(lines.some(({ level }) => (level as number) > INFO)).toBe(true);
    for (const line of lines) expect(JSON.stringify(line)).not.toContain(marker);
  });

  it('says where an unexpected failure was thrown, and at debug what it said', async () => {
    const { post, engine, log } = await start();
    engine.script = { refusal: new TypeError('Cannot read it') as never };
    const response = await post(path, { messages: hello }, { 'x-request-id': 'r-2' });
    expect([response.status, (await errorOf(response)).message]).toEqual([
      500,
      expect.stringContaining("server's log"),
    ]);
    const failure = log.find(({ msg }) => msg === 'a request failed');
    expect(failure).toMatchObject({
      reqId: 'r-2',
      err: { type: 'TypeError', stack: expect.stringContaining('log.test.ts') },
    });
    expect(log).toContainEqual(
      expect.objectContaining({ level: 20, reqId: 'r-2', detail: expect.stringContaining('Cannot read it') }),
    );
  });
});
