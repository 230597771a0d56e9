/** The default model: sensible text through the official client, the demo, the perplexity of the reference. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type AgentBody,
  goldenFolder,
  perplexityText,
  type ServerProcess,
  serve,
  stomp,
  until,
} from './server-process.js';

const model = 'smollm2-135m';

describe('the official OpenAI client', () => {
  let server: ServerProcess;
  let client: OpenAI;
  const ask = [{ role: 'user' as const, content: 'List the planets of the solar system, one on each line.' }];

  beforeAll(async () => {
    server = await serve({ shared: true, model });
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  it('gets a sensible answer', async () => {
    const answer = await client.chat.completions.create({
      model,
      messages: ask,
      max_tokens: 60,
      temperature: 0,
    });
    const text = answer.choices[0]?.message.content;
    for (const planet of ['Mercury', 'Earth', 'Jupiter', 'Neptune']) expect(text).toContain(planet);
    expect(answer.usage?.total_tokens).toBe(
      (answer.usage?.prompt_tokens ?? 0) + (answer.usage?.completion_tokens ?? 0),
    );
  });

  it('gets the same as a stream, in many pieces, with the usage at the end', async () => {
    const whole = await client.chat.completions.create({
      model,
      messages: ask,
      max_tokens: 60,
      temperature: 0,
    });
    const stream = await client.chat.completions.create({
      model,
      messages: ask,
      max_tokens: 60,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let pieces = 0;
    let cached = 0;
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.delta.content ?? '';
      text += piece;
      if (piece !== '') pieces++;
      cached = chunk.usage?.prompt_tokens_details?.cached_tokens ?? cached;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(pieces).toBeGreaterThan(3);
    expect(cached).toBeGreaterThan(0);
  });

  it('lists the model and is told what is wrong', async () => {
    const list = await client.models.list();
    expect(list.data.map((entry) => entry.id)).toEqual([model]);
    const wrong = client.chat.completions.create({ model: 'gpt-4o', messages: ask });
    await expect(wrong).rejects.toMatchObject({ status: 404, code: 'MODEL_NOT_FOUND', param: 'model' });
  });

  // Of this model thousands of tokens take seconds: the stop comes long before the end.
  it('stops a stream, and the server with it', async () => {
    const status = `stomp_request_total{model="${model}",route="/v1/chat/completions",status="499"}`;
    const before = await server.metric(status);
    const ours = { ignore_eos: true, session_id: 'gone' };
    const request = { model, messages: ask, stream: true as const, max_tokens: 6000, ...ours };
    const stream = await client.chat.completions.create(request);
    for await (const _ of stream) break;
    stream.controller.abort();
    await until(async () => (await server.metric(status)) === before + 1, 'the request is counted as gone');
    await until(async () => (await server.metric('stomp_batch_size')) === 0, 'the batch is empty');
    expect((await server.json<AgentBody>('/v1/agents/gone')).tokens).toBeLessThan(6000);
  });
});

it('the demo shows what a cache of their own does for agents', async () => {
  const { code, out, err } = await stomp('demo');
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  const rows = out.split('\n').filter((line) => /^(planner|builder|reviewer) +[123] /.test(line));
  const how = rows.map((row) => / {2}(cold|shared prefix|returning|restored from disk) {2}/.exec(row)?.[1]);
  expect(how).toEqual([
    'cold',
    'shared prefix',
    'shared prefix',
    ...Array<string>(3).fill('returning'),
    ...Array<string>(3).fill('restored from disk'),
  ]);
  const speedUps = rows.map((row) => Number(/([\d.]+)x$/.exec(row)?.[1]));
  expect(speedUps[0]).toBe(1);
  for (const speedUp of speedUps.slice(1)) expect(speedUp).toBeGreaterThan(3);
  const processes = [...out.matchAll(/process (\d+)/gi)].map((match) => match[1]);
  expect(new Set(processes).size).toBe(2);
});

it('bench says how fast the model is, and that an agent that returns waits less than a new one', async () => {
  const { code, out, err } = await stomp('bench', '--model', model);
  expect({ code, err: code === 0 ? '' : err }).toEqual({ code: 0, err: '' });
  const speeds = [...out.matchAll(/^(prompt|answers).* ([\d,]+) tokens\/s$/gm)];
  expect(speeds).toHaveLength(4);
  for (const [, , speed = ''] of speeds) expect(Number(speed.replaceAll(',', ''))).toBeGreaterThan(0);
  const waits = [...out.matchAll(/^first token, (.+?) +([\d.]+) (ms|s)$/gm)];
  expect(waits.map((wait) => wait[1])).toEqual([
    'a new agent',
    'the same agent again',
    'the same agent back from disk',
  ]);
  const [fresh = 0, ...returning] = waits.map(([, , time, unit]) => Number(time) * (unit === 's' ? 1000 : 1));
  for (const wait of returning) expect(wait).toBeLessThan(fresh);
});

it('the perplexity is that of the reference', async () => {
  const golden = JSON.parse(readFileSync(join(goldenFolder, 'smollm2-perplexity.json'), 'utf8')) as {
    perplexity: number;
    scored_tokens: number;
  };
  const { code, out } = await stomp('perplexity', perplexityText, '--model', model);
  expect(code).toBe(0);
  const measured = Number(/^perplexity ([\d.]+)$/m.exec(out)?.[1]);
  expect(Math.abs(measured / golden.perplexity - 1)).toBeLessThan(0.01);
  expect(out).toContain(`${golden.scored_tokens} tokens scored`);
});
