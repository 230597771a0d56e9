/** Keys: where they come from, and that they go nowhere. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readKey } from '../../../../ts/clutch/providers/keys.js';
import { StompError } from '../../../../ts/errors.js';
import { deaf, HttpDouble, json, listener, open, request } from './doubles.js';

const planted = 'sk-planted/0123456789+abcdef';
const provider = 'openai';
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-keys-'));
  file = join(folder, 'key');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a key', () => {
  it('comes from a variable, or from a file that nobody else may read', () => {
    expect(readKey({ provider, variable: 'A_KEY' }, { A_KEY: planted })?.reveal()).toBe(planted);
    writeFileSync(file, `${planted}\n`, { mode: 0o600 });
    expect(readKey({ provider, variable: 'A_KEY', file }, { A_KEY: 'other' })?.reveal()).toBe(planted);
    expect(readKey({ provider }, { OPENAI_API_KEY: planted })).toBeUndefined();
  });

  it.each([0o644, 0o640, 0o604, 0o660])('is not taken from a file with mode %o', (mode) => {
    writeFileSync(file, planted);
    chmodSync(file, mode);
    expect(() => readKey({ provider, file }, {})).toThrow(/chmod 600/);
  });

  it('that is missing is told with the place where it should be', () => {
    const code = 'PROVIDER_KEY_MISSING';
    expect(() => readKey({ provider, variable: 'A_KEY' }, {})).toThrow(expect.objectContaining({ code }));
    expect(() => readKey({ provider, variable: 'A_KEY' }, { A_KEY: ' ' })).toThrow(/Set A_KEY/);
    expect(() => readKey({ provider, file }, {})).toThrow(/ENOENT/);
    expect(() => readKey({ provider, file: folder }, {})).toThrow(expect.objectContaining({ code }));
  });

  it('that a header could not hold is refused without being quoted', () => {
    const refused = () => readKey({ provider, variable: 'A_KEY' }, { A_KEY: `${planted}\nmore` });
    expect(refused).toThrow(/no key/);
    expect(refused).not.toThrow(planted);
  });

  it('is not told by anything that prints', () => {
    const key = readKey({ provider, variable: 'A_KEY' }, { A_KEY: planted });
    const told = [String(key), JSON.stringify({ key }), inspect(key, { depth: 9, showHidden: true })];
    expect(told.join()).not.toContain(planted);
  });
});

describe.each(['openai', 'deepseek', 'anthropic', 'gemini'])('a key of %s', (name) => {
  it.each([401, 429, 500])('is in no error, no event and nothing printed of them (%i)', async (status) => {
    const quoting = {
      error: { message: `Not with ${planted}, nor ${encodeURIComponent(planted)}`, planted },
    };
    const server = await HttpDouble.start(json(status, quoting));
    const options = { baseUrl: server.url, keyEnv: 'A_KEY' };
    const asked = open(name, options, { environment: { A_KEY: planted } });
    const { heard, onEvent } = listener();
    const error = await asked.send(request(), onEvent).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(StompError);
    const sent = JSON.stringify(server.asked[0]?.headers);
    expect(sent).toContain(planted);
    const told = [error, heard, asked].map((one) => inspect(one, { depth: 9, showHidden: true }));
    const text = [...told, JSON.stringify(error), (error as Error).stack].join();
    expect(text).toContain('[key]');
    expect(text).not.toContain(planted);
    expect(text).not.toContain(encodeURIComponent(planted));
  });
});

describe('a key from the environment', () => {
  it('is sent to nobody but the provider that it was made for', async () => {
    const server = await HttpDouble.start(json(400, { error: { message: 'No' } }));
    const environment = { OPENAI_API_KEY: planted };
    const asked = open('openai', { baseUrl: server.url }, { environment });
    await expect(asked.send(request(), deaf)).rejects.toThrow();
    expect(JSON.stringify(server.asked)).not.toContain(planted);
  });

  it('is asked for where there is none', async () => {
    for (const name of ['openai', 'deepseek', 'anthropic', 'gemini']) {
      await expect(open(name).send(request(), deaf)).rejects.toMatchObject({
        code: 'PROVIDER_KEY_MISSING',
        fields: { provider: name },
      });
    }
  });
});
