import { describe, expect, it } from 'vitest';
import { isSecretName, redactor } from '../../../ts/clutch/audit/redact.js';

describe('what is written down', () => {
  const redact = redactor(['hunter2-known', 'q"uote\\d', 'known']);
  const plain = (value: unknown) => JSON.stringify(redact(value));

  it('has nothing that stands under the name of a secret', () => {
    const value = {
      headers: {
        Authorization: 'planted-1',
        'x-api-key': 'planted-2',
        'X-Goog-Api-Key': 'planted-3',
        Cookie: 'planted-4',
      },
      env: { OPENAI_API_KEY: 'planted-5', GITHUB_TOKEN: 'planted-6', PATH: '/usr/bin' },
      user: { password: 'planted-7', clientSecret: ['planted-8'], credentials: { id: 'planted-9' } },
    };
    expect(plain(value)).not.toContain('planted');
    expect(plain(value)).toContain('/usr/bin');
  });

  it('has nothing that has the form of a secret, wherever it stands', () => {
    const key = 'planted'.padEnd(36, '0123456789');
    const dashes = '-----'; // apart, so that whoever looks for keys in these sources finds none
    for (const text of [
      `curl -H "Authorization: Bearer ${key}"`,
      `key sk-ant-${key} and sk-${key}`,
      `AIza${key}`,
      `ghp_${key}`,
      `https://user:${key}@example.org/x`,
      `https://example.org/?key=${key}&page=2`,
      `export MY_API_KEY=${key}`,
      `{"password": "${key}"}`,
      JSON.stringify(JSON.stringify({ token: key })),
      `${dashes}BEGIN RSA PRIVATE KEY${dashes}\n${key}\n${dashes}END RSA PRIVATE KEY${dashes}`,
      `${dashes}BEGIN PRIVATE KEY${dashes}\n${key}`,
      `eyJhbGciOiJI.${key}.${key}`,
    ]) {
      expect(plain({ text, list: [text] })).not.toContain('planted');
    }
    expect(redact(`https://example.org/?key=${key}&page=2`)).toBe(
      'https://example.org/?key=[redacted]&page=2',
    );
  });

  it('has nothing that is known as a secret, however it is written', () => {
    const forms = ['hunter2-known', 'q"uote\\d', encodeURIComponent('q"uote\\d'), btoa('hunter2-known')];
    for (const text of forms) {
      expect(redact(`<${text}>`)).toBe('<[redacted]>');
      expect(redact({ [text]: 1 })).toEqual({ '[redacted]': 1 });
    }
    const inJson = JSON.stringify({ a: 'q"uote\\d' });
    expect(redact(inJson)).toBe('{"a":"[redacted]"}');
  });

  it('keeps everything else', () => {
    const value = {
      max_tokens: 8192,
      usage: { input_tokens: 12, cached: null },
      tools: [{ name: 'read_file', required: ['path'] }],
      text: 'The token was spent; the key of the map is a monkey. tokens = 12, key: a',
      done: true,
    };
    expect(redact(value)).toEqual(value);
  });
});

it('tells names of secrets from names of counts and keys of maps', () => {
  const secret = [
    'apiKey',
    'api-key',
    'PRIVATE_KEY',
    'accessToken',
    'set-cookie',
    'DB_PASSWORD',
    'AWS_SECRET_ACCESS_KEY',
  ];
  expect(secret.filter((name) => !isSecretName(name))).toEqual([]);
  const harmless = ['max_tokens', 'tokens', 'key', 'monkey', 'keyboard', 'PATH', 'tokenizer', 'author'];
  expect(harmless.filter(isSecretName)).toEqual([]);
});
