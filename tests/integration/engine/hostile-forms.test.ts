/** Forms that are hostile or odd, through the whole server: answered or refused by name, and nobody else waits. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../ts/engine/engine.js';
import { createServer, type StompServer } from '../../../ts/serve/server.js';
import { fixture, load } from './engines.js';

const servers: StompServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what the tests look at
  body: any;
}

interface Client {
  engine: Engine;
  url: string;
  post(path: string, body: string): Promise<Answer>;
  /** A chat that is held to a schema, which is given as JSON text: not all of it could be written in JavaScript. */
  held(schema: string, more?: Record<string, unknown>): Promise<Answer>;
}

async function open(): Promise<Client> {
  const engine = await load(fixture('models/tiny-llama.Q4_1.gguf'));
  const server = createServer(engine, {
    model: 'tiny',
    log: { level: 'fatal', stream: { write: () => undefined } },
  });
  servers.push(server);
  const { url } = await server.listen({ port: 0 });
  const post: Client['post'] = async (path, body) => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(url + path, { method: 'POST', headers, body });
    return { status: response.status, body: await response.json() };
  };
  const held: Client['held'] = (schema, more = {}) => {
    const form = `{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":${schema}}}`;
    const rest = JSON.stringify({ ...asked, ...more }).slice(0, -1);
    return post('/v1/chat/completions', `${rest},"response_format":${form}}`);
  };
  return { engine, url, post, held };
}

const asked = {
  model: 'tiny',
  messages: [{ role: 'user', content: 'hi' }],
  max_tokens: 300,
  temperature: 1,
  seed: 3,
};
const contentOf = ({ body }: Answer): string => body.choices[0].message.content;

/** Patterns whose products have many states; six are more than is served. */
function hostile(parts: number): string {
  const patterns = Array.from(
    { length: parts },
    (_, i) => `^[a-${'cdefgh'[i]}]{${i * 50 + 1},${i * 60 + 100}}x?`,
  );
  return JSON.stringify({
    type: 'object',
    patternProperties: Object.fromEntries(
      patterns.map((each, i) => [each, { type: 'string', minLength: i }]),
    ),
  });
}

describe('a hostile schema', () => {
  it('holds up nobody while it is compiled or refused', async () => {
    const { url, held } = await open();
    await held('{"type":"string","format":"date"}'); // the thread is there
    const answers = Promise.all([
      held(hostile(6)),
      held(hostile(4)),
      held('{"type":"string","format":"email"}'),
    ]);
    let done = false;
    void answers.then(() => {
      done = true;
    });
    const waits: number[] = [];
    while (!done) {
      const begun = performance.now();
      await (await fetch(`${url}/health`)).text();
      waits.push(performance.now() - begun);
    }
    const small = await held('{"const":1}');
    expect(contentOf(small)).toBe('1');
    expect(waits.length).toBeGreaterThan(5);
    expect(Math.max(...waits)).toBeLessThan(600);
    const [refused, ...served] = await answers;
    expect(refused).toMatchObject({
      status: 400,
      body: { error: { code: 'INVALID_REQUEST', param: 'response_format.json_schema.schema' } },
    });
    expect(served.map(({ status }) => status)).toEqual([200, 200]);
  });

  it.each([
    ['is nested deeply', `${'{"items":'.repeat(5000)}{}${'}'.repeat(5000)}`, 'body'],
    ['nests a constant deeply', `{"const":${'['.repeat(5000)}${']'.repeat(5000)}}`, 'body'],
    ['refers to itself', '{"$ref":"#"}', 'response_format.json_schema.schema'],
    [
      'refers in a circle',
      '{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"$ref":"#/$defs/a"},{}]}}}',
      'response_format.json_schema.schema/$defs/a',
    ],
    ['has no end', '{"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]}', 'responseFormat'],
    [
      'refers to what objects inherit',
      '{"$ref":"#/$defs/constructor","$defs":{}}',
      'response_format.json_schema.schema/$ref',
    ],
    ['has a type that objects inherit', '{"type":"constructor"}', 'response_format.json_schema.schema/type'],
    ['has a number that is none', '{"enum":[1e999]}', 'response_format.json_schema.schema'],
    ['takes only half a character', '{"type":"string","pattern":"^\\ud800$"}', 'responseFormat'],
    [
      'lists too much',
      JSON.stringify({ enum: Array.from({ length: 120_000 }, (_, i) => i) }),
      'response_format.json_schema.schema',
    ],
  ])('that %s is refused by name', async (_what, schema, param) => {
    const { held } = await open();
    const { status, body } = await held(schema);
    expect({ status, param: body.error.param }).toEqual({ status: 400, param });
    expect(contentOf(await held('{"const":1}'))).toBe('1');
  });
});

describe('an odd schema', () => {
  it.each([
    ['half a pair of surrogates', '{"enum":["\\ud800","\\udc00a"]}', /^"\\ud800"$|^"\\udc00a"$/],
    ['half a pair in a constant', '{"const":"x\\ud83d"}', /^"x\\ud83d"$/],
    ['half a pair beside a letter in a pattern', '{"type":"string","pattern":"^(\\ud800|b)$"}', /^"b"$/],
    ['both halves of a pair', '{"const":"x\\ud83d\\ude00"}', /^"x😀"$/],
    ['a keyword twice, of which the last counts', '{"type":"string","type":"boolean"}', /^(true|false)$/],
    ['a definition of an odd name', '{"$ref":"#/$defs/__proto__","$defs":{"__proto__":{"const":7}}}', /^7$/],
    [
      'thousands of values',
      JSON.stringify({ enum: Array.from({ length: 20_000 }, (_, i) => `v${i}`) }),
      /^"v\d+"$/,
    ],
  ])('with %s is held to', async (_what, schema, content) => {
    const { held } = await open();
    expect(contentOf(await held(schema))).toMatch(content);
  });

  it('has members of odd names, which come back as they are', async () => {
    const { held } = await open();
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', ''];
    const members = names.map((name, i) => `${JSON.stringify(name)}:{"const":${i}}`);
    const schema = `{"type":"object","properties":{${members}},"required":${JSON.stringify(names)},"additionalProperties":false}`;
    const answer = JSON.parse(contentOf(await held(schema))) as object;
    expect(Object.entries(answer)).toEqual(names.map((name, i) => [name, i]));
    const values = JSON.parse(contentOf(await held('{"const":{"__proto__":{"a":1}}}'))) as object;
    expect(Object.entries(values)).toEqual([['__proto__', { a: 1 }]]);
  });

  it('of a tool has such members in the input of a call', async () => {
    const { post } = await open();
    const schema =
      '{"type":"object","properties":{"__proto__":{"const":1},"constructor":{"const":2}},"required":["__proto__","constructor"],"additionalProperties":false}';
    const tools = `[{"name":"t","input_schema":${schema}}]`;
    const choice = '{"type":"any","disable_parallel_tool_use":true}';
    const rest = JSON.stringify(asked).slice(0, -1);
    const { status, body } = await post('/v1/messages', `${rest},"tools":${tools},"tool_choice":${choice}}`);
    expect(status).toBe(200);
    expect(body.content).toHaveLength(1);
    expect(Object.entries(body.content[0].input)).toEqual([
      ['__proto__', 1],
      ['constructor', 2],
    ]);
  });
});

describe('a form', () => {
  it('ends where a stop text comes in it', async () => {
    const { held } = await open();
    const answer = await held('{"const":{"a":"hello world"}}', { stop: ['lo w'] });
    expect(contentOf(answer)).toMatch(/^\{\s*"a": ?"hel$/);
    expect(answer.body.choices[0].finish_reason).toBe('stop');
  });

  it('has the log-probabilities of its tokens, in every one of several answers', async () => {
    const { held } = await open();
    const { body } = await held('{"enum":["a","b","c"]}', { n: 3, logprobs: true, top_logprobs: 2 });
    expect(body.choices).toHaveLength(3);
    for (const { message, logprobs } of body.choices) {
      expect(message.content).toMatch(/^"[abc]"$/);
      const bytes = logprobs.content.flatMap((each: { bytes: number[] }) => each.bytes);
      expect(Buffer.from(bytes).toString()).toBe(message.content);
      for (const { top_logprobs } of logprobs.content) expect(top_logprobs).toHaveLength(2);
    }
  });

  it.each([
    [
      'OpenAI',
      '/v1/chat/completions',
      {
        tool_choice: 'required',
        tools: [
          { type: 'function', function: { name: 't', parameters: { properties: { a: { type: 'int' } } } } },
        ],
      },
    ],
    [
      'Anthropic',
      '/v1/messages',
      {
        tool_choice: { type: 'any' },
        tools: [{ name: 't', input_schema: { type: 'object', properties: { a: { type: 'int' } } } }],
      },
    ],
  ])('of a tool whose schema has an unknown type is refused by name (%s)', async (_api, path, tools) => {
    const { post } = await open();
    const { status, body } = await post(path, JSON.stringify({ ...asked, ...tools }));
    expect(status).toBe(400);
    expect(body.error.message).toMatch(/"tools\.t\.[a-z_]+\/properties\/a\/type" must be of null, boolean/);
  });
});

describe('thousands of schemas', () => {
  it('leave nothing behind but those that were used last', async () => {
    const { held } = await open();
    const rounds = Math.round(240 * Number(process.env['STOMP_TEST_SCALE'] ?? 1));
    const round = async (from: number) => {
      for (let i = 0; i < rounds; i += 4) {
        const some = [0, 1, 2, 3].map((k) =>
          held(`{"type":"string","pattern":"^${from}x{${(i + k) % 20}}${i + k}[a-m]{1,9}$"}`, {
            max_tokens: 2,
          }),
        );
        for (const { status } of await Promise.all(some)) expect(status).toBe(200);
      }
      globalThis.gc?.();
      return process.memoryUsage().rss / 1e6;
    };
    await round(1);
    const before = await round(2);
    const after = await round(3);
    expect(after - before).toBeLessThan(60);
  });
});
