/** An agent that is deleted while others wait for its answers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ScriptedServer, tinyChatModel } from './scripted-process.js';
import { type AgentBody, until } from './server-process.js';

let server: ScriptedServer;
beforeAll(async () => {
  const answer = 'and so on '.repeat(8000);
  server = await ScriptedServer.start([{ match: 'Tell me', answer }], { model: tinyChatModel() });
});
afterAll(() => server.stop());

const messages = [{ role: 'user', content: 'Tell me more' }];
const openai = { error: { code: 'AGENT_NOT_FOUND', type: 'invalid_request_error' } };
const anthropic = { type: 'error', error: { code: 'AGENT_NOT_FOUND', type: 'not_found_error' } };
const protocols: [string, object, object][] = [
  ['/v1/chat/completions', { messages }, openai],
  ['/v1/completions', { prompt: 'Tell me more', max_tokens: 30_000 }, openai],
  ['/v1/messages', { model: 'tiny-chat', max_tokens: 30_000, messages }, anthropic],
  ['/v1/agents/ann/generate', { message: 'Tell me more' }, openai],
];

function ask(path: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json', 'x-agent-id': 'ann' };
  return fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
}

/** Once so many turns of it are under way. */
async function remove(turns: number): Promise<void> {
  await until(async () => {
    const { running_turns: running } = await server.json<{ running_turns: number }>('/v1/admin/stats');
    const { data } = await server.json<{ data: AgentBody[] }>('/v1/agents');
    return running === turns && data.some(({ tier }) => tier === 'active');
  }, 'the agent answers');
  expect((await fetch(`${server.url}/v1/agents/ann`, { method: 'DELETE' })).status).toBe(200);
}

describe.each(protocols)('by %s', (path, body, error) => {
  it('an answer that is awaited whole is a 404, of the turn that runs and of one that waits', async () => {
    const asked = [ask(path, body), ask(path, body)];
    await remove(2);
    for (const response of await Promise.all(asked)) {
      expect(response.status).toBe(404);
      expect(response.headers.get('x-agent-id')).toBe('ann');
      expect(await response.json()).toMatchObject(error);
    }
  });

  it('a stream ends with the error', async () => {
    const response = await ask(path, { ...body, stream: true });
    expect(response.status).toBe(200);
    await remove(1);
    const events = (await response.text()).split('\n').filter((line) => line.startsWith('data: '));
    expect(JSON.parse(events.at(-1)?.slice('data: '.length) ?? '')).toMatchObject(error);
  });
});
