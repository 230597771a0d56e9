import { describe, expect, it } from 'vitest';
import { KeyRing } from '../../../../ts/serve/access/keys.js';
import { createServer } from '../../../../ts/serve/server.js';
import { openGuard } from '../../guard/open-guard.js';
import { FakeEngine } from '../fake-engine.js';
import { errorOf, hello, start } from '../harness.js';

const path = '/v1/chat/completions';
const origin = 'https://agents.example';
const key = 'a-key-that-is-long-enough';
const preflight = {
  origin,
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'authorization,content-type,x-stainless-os',
};
const options = (url: string, headers: Record<string, string>) =>
  fetch(url + path, { method: 'OPTIONS', headers });

describe('without origins', () => {
  it('no page may read anything', async () => {
    const { url, get } = await start();
    const local = 'http://localhost:5173';
    expect((await options(url, { ...preflight, origin: local })).status).toBe(405);
    expect(
      (await get('/v1/models', { origin: local })).headers.get('access-control-allow-origin'),
    ).toBeNull();
    expect((await options(url, preflight)).status).toBe(403);
  });
});

describe('with an origin', () => {
  it('its preflight is answered, without a key', async () => {
    const { url } = await start({ corsOrigins: [origin], keys: new KeyRing([{ role: 'user', key }]) });
    const response = await options(url, preflight);
    expect(response.status).toBe(204);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': expect.stringContaining('DELETE'),
      'access-control-allow-headers': preflight['access-control-request-headers'],
      vary: expect.stringMatching(/^Origin,/),
    });
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
  });

  it('it reads answers, streams and errors, with our headers', async () => {
    const { post, get } = await start({ corsOrigins: [origin], keys: new KeyRing([{ role: 'user', key }]) });
    const headers = { origin, 'x-api-key': key };
    const answers = [
      await post(path, { messages: hello }, headers),
      await post(path, { messages: hello, stream: true }, headers),
      await post(path, {}, headers),
      await get('/v1/models', { origin }),
      await get('/nowhere', headers),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 401, 404]);
    for (const response of answers) {
      expect(response.headers.get('access-control-allow-origin')).toBe(origin);
      expect(response.headers.get('vary')).toBe('Origin');
      const exposed = response.headers.get('access-control-expose-headers');
      for (const name of ['x-request-id', ' request-id,', 'x-agent-id', 'retry-after'])
        expect(exposed).toContain(name);
      await response.body?.cancel();
    }
  });

  it('it reads answers of MCP', async () => {
    const { post } = await start({ corsOrigins: [origin], guard: await openGuard() });
    const response = await post('/mcp', {}, { origin });
    expect(response.headers.get('access-control-allow-origin')).toBe(origin);
  });

  it.each([
    'https://agents.example.evil.example',
    'http://agents.example',
    'https://agents.example:444',
    'null',
  ])('%s is another one', async (other) => {
    const { url, get } = await start({ corsOrigins: [origin] });
    const asked = await options(url, { ...preflight, origin: other });
    expect(asked.status).toBe(403);
    expect(asked.headers.get('access-control-allow-origin')).toBeNull();
    expect((await errorOf(await get('/v1/models', { origin: other }))).message).toContain('--cors-origin');
  });

  it('callers that are no page see nothing of it but Vary', async () => {
    const { get } = await start({ corsOrigins: [origin] });
    const { headers } = await get('/v1/models');
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('vary')).toBe('Origin');
  });

  it('header names that are none are not repeated', async () => {
    const server = createServer(new FakeEngine(), { model: 'tiny', corsOrigins: [origin] });
    const response = await server.app.inject({
      method: 'OPTIONS',
      url: path,
      headers: { host: 'localhost', ...preflight, 'access-control-request-headers': 'a"b' },
    });
    expect(response.statusCode).toBe(204);
    expect(response.headers['access-control-allow-headers']).toBeUndefined();
    await server.close();
  });
});

it.each([
  '*',
  'agents.example',
  'https://agents.example/',
  'https://agents.example/x',
  'HTTPS://agents.example',
  'file://x',
  'null',
  '',
])('%j is refused as an origin', (wrong) => {
  expect(() => createServer(new FakeEngine(), { corsOrigins: [wrong] })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  );
});
