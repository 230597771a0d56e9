/** No field of the protocol falls through: every one that the official client knows is served or refused by name. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { errorOf, hello, start } from '../harness.js';

const openai = dirname(createRequire(import.meta.url).resolve('openai'));

/** Names of the members of an interface in the client's declarations. */
function members(file: string, name: string): string[] {
  const source = readFileSync(join(openai, 'resources', file), 'utf8');
  const body = new RegExp(`^export interface ${name} .*?\\{$(.*?)^\\}`, 'ms').exec(source)?.[1] ?? '';
  const names = [...body.matchAll(/^ {4}(\w+)\??:/gm)].map((match) => match[1] ?? '');
  expect(names.length).toBeGreaterThan(10);
  return names;
}

const chat = {
  path: '/v1/chat/completions',
  base: { messages: hello },
  fields: members('chat/completions/completions.d.ts', 'ChatCompletionCreateParamsBase'),
  refused: [
    'audio',
    'function_call',
    'functions',
    'metadata',
    'modalities',
    'moderation',
    'prediction',
    'service_tier',
    'store',
    'verbosity',
    'web_search_options',
  ],
};
const completions = {
  path: '/v1/completions',
  base: { prompt: 'Once' },
  fields: members('completions.d.ts', 'CompletionCreateParamsBase'),
  refused: ['suffix'],
};

describe.each([chat, completions])('on $path', ({ path, base, fields, refused }) => {
  it('every field is known, and null asks for nothing', async () => {
    const { post } = await start();
    const required = Object.keys(base);
    const nulls = Object.fromEntries(
      fields.filter((name) => !required.includes(name)).map((name) => [name, null]),
    );
    expect((await post(path, { ...nulls, ...base })).status).toBe(200);
  });

  it.each(fields)('%s is served, or refused by its name', async (field) => {
    const { post } = await start();
    // No field has a use for this.
    const response = await post(path, { ...base, [field]: { nonsense: ['x'] } });
    const error = await errorOf(response);
    expect(error.message).not.toContain(`"${field}" is not a known field`);
    expect(error.param?.startsWith(field)).toBe(true);
    expect(error.code).toBe(refused.includes(field) ? 'UNSUPPORTED_FIELD' : 'INVALID_REQUEST');
  });
});
