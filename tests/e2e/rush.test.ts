/** More at once than there is room for, and a model exchanged under conversations that go on. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type ServerProcess, serve, tinyModel } from './server-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const other = join(import.meta.dirname, '../fixtures/models/tiny-llama3-rope-bf16');

interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly agent: string | null;
  readonly body: {
    choices?: [{ message: { content: string } }];
    usage?: { completion_tokens: number; prompt_tokens_details: { cached_tokens: number } };
    error?: { code: string };
  };
}

type Message = Readonly<Record<'role' | 'content', string>>;

async function ask(
  server: ServerProcess,
  messages: readonly Message[],
  headers: Record<string, string> = {},
): Promise<Answer> {
  const body = { messages, max_tokens: 16, ignore_eos: true, temperature: 0 };
  const response = await server.post('/v1/chat/completions', body, headers);
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    agent: response.headers.get('x-agent-id'),
    body: (await response.json()) as Answer['body'],
  };
}

describe('ten agents', () => {
  it('with fifty rapid requests each get every answer, or are told to come later', async () => {
    const server = await serve({ args: ['--max-queue', '64'] });
    const asked = Array.from({ length: 500 * scale }, (_, i) =>
      ask(server, [{ role: 'user', content: `Question ${i}` }], { 'x-agent-id': `agent-${i % 10}` }),
    );
    const answers = await Promise.all(asked);
    const answered = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status === 429);
    expect(answered.length + refused.length).toBe(answers.length);
    expect(answered.length).toBeGreaterThan(64);
    for (const { body } of answered) expect(body.usage?.completion_tokens).toBe(16);
    for (const { body, retryAfter } of refused) {
      expect(body.error?.code).toBe('QUEUE_FULL');
      expect(Number(retryAfter)).toBeGreaterThan(0);
    }
    const { running_turns } = await server.json<{ running_turns: number }>('/v1/admin/stats');
    expect(running_turns).toBe(0);
    expect((await ask(server, [{ role: 'user', content: 'And now' }])).status).toBe(200);
  });
});

/** Asks again as the official clients do, when the server says when. */
async function patient(server: ServerProcess, messages: readonly Message[]): Promise<Answer> {
  for (let tries = 0; tries < 20; tries++) {
    const answer = await ask(server, messages);
    if (answer.status !== 503) return answer;
    expect(Number(answer.retryAfter)).toBeGreaterThan(0);
    await delay(100);
  }
  throw new Error('the server did not come back');
}

describe('five conversations at once', () => {
  it('go on over a swap in the middle of one, there and back, as the agents they were', async () => {
    const server = await serve({ args: ['--model-alias', `other=${other}`] });
    const swap = async (model: string) => {
      const response = await server.post('/v1/admin/models/swap', { model });
      expect(response.status, await response.text()).toBe(200);
    };
    const conversation = async (number: number): Promise<Answer[]> => {
      const messages: Message[] = [
        { role: 'system', content: `You are coder ${number}. Be brief and plain.` },
      ];
      const answers: Answer[] = [];
      for (let turn = 0; turn < 6; turn++) {
        messages.push({ role: 'user', content: `Step ${turn} of task ${number}: go on` });
        const asked = patient(server, messages);
        if (number === 0 && turn === 3) {
          await swap('other');
          await swap(tinyModel);
        }
        const answer = await asked;
        answers.push(answer);
        messages.push({ role: 'assistant', content: answer.body.choices?.[0].message.content ?? '' });
      }
      return answers;
    };
    const all = await Promise.all([0, 1, 2, 3, 4].map(conversation));
    for (const answers of all) {
      expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200));
      expect(new Set(answers.map(({ agent }) => agent)).size).toBe(1);
      // By whichever model the one before was answered, the last finds its own past.
      expect(answers.at(-1)?.body.usage?.prompt_tokens_details.cached_tokens).toBeGreaterThan(0);
    }
    expect(new Set(all.map(([first]) => first?.agent)).size).toBe(5);
    expect(await server.metric('stomp_model_swap_duration_seconds_count')).toBe(2);
  });
});
