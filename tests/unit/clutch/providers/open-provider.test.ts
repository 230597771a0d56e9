/** Providers by name, and what is refused before anybody is asked. */
import { describe, expect, it } from 'vitest';
import { loadClientLibrary } from '../../../../ts/clutch/providers/client-library.js';
import { openProvider } from '../../../../ts/clutch/providers/open-provider.js';
import { deaf, HttpDouble, open, request } from './doubles.js';

describe('a provider', () => {
  it('is opened by its kind, or by a name of the user with a kind', () => {
    expect(open('anthropic')).toMatchObject({ name: 'anthropic', maxConcurrent: 4 });
    const own = open('my-server', { kind: 'openai', baseUrl: 'http://localhost:1/v1', defaultModel: 'tiny' });
    expect(own).toMatchObject({ name: 'my-server', defaultModel: 'tiny' });
  });

  it.each<[string, object, string]>([
    ['nobody', {}, 'INVALID_REQUEST'],
    ['a b', { kind: 'openai' }, 'INVALID_REQUEST'],
    ['openai', { kind: 'other' }, 'INVALID_REQUEST'],
    ['openai', { baseUrl: 'ftp://host' }, 'INVALID_REQUEST'],
    ['openai', { maxConcurrent: 0 }, 'INVALID_REQUEST'],
    ['openai', { tries: 6 }, 'INVALID_REQUEST'],
    ['openai', { apiKey: 'sk-1' }, 'UNSUPPORTED_FIELD'],
    ['engine', {}, 'INVALID_REQUEST'],
  ])('%s with %o is refused', (name, options, code) => {
    expect(() => openProvider(name, options)).toThrow(expect.objectContaining({ code }));
  });

  it('does not quote a password in an address', () => {
    const password = 'planted';
    const refused = () => openProvider('openai', { baseUrl: `https://me:${password}@host/v1` });
    expect(refused).toThrow(/baseUrl/);
    expect(refused).not.toThrow(/planted/);
  });

  it('leaves out turns by the limits of each', async () => {
    const limits = { model: 'm', maxTokens: 8000 };
    expect(await open('anthropic').historyTokens(limits)).toBe(180_000);
    expect(await open('gemini').historyTokens(limits)).toBe(360_000);
    expect(await open('openai').historyTokens(limits)).toBe(120_000);
  });

  it('is asked so many times at once, and the next when one is done', async () => {
    const server = await HttpDouble.start(() => undefined);
    const provider = open('openai', { baseUrl: server.url, maxConcurrent: 2 });
    const stops = [1, 2, 3].map(() => new AbortController());
    const asking = stops.map(({ signal }) => provider.send(request({ signal }), deaf).catch(deaf));
    await expect.poll(() => server.asked.length).toBe(2);
    stops[0]?.abort();
    await expect.poll(() => server.asked.length).toBe(3);
    for (const stop of stops) stop.abort();
    await Promise.all(asking);
  });
});

describe('a client library', () => {
  it('that is not installed is named with the command that brings it', async () => {
    const library = 'stomp-no-such-library';
    await expect(loadClientLibrary(library, () => import(library))).rejects.toMatchObject({
      code: 'PROVIDER_MISSING',
      fields: { library, command: `npm install ${library}` },
    });
  });

  it('that breaks while it is loaded fails as it is', async () => {
    const load = () => Promise.reject(new TypeError('broken'));
    await expect(loadClientLibrary('openai', load)).rejects.toThrow(TypeError);
  });
});
