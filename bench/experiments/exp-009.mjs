// Do streams have the events of Anthropic's API, in its order?
import Anthropic from '@anthropic-ai/sdk';
import { startServer } from '../http/server.mjs';
import { faultsOf, parseEvents } from './anthropic-events.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: "Do streams have the events of Anthropic's API, in its order and with its fields?",
  method:
    'the default model is asked over HTTP for a text, a text cut short, a text that a stop sequence ends and a call of a tool; ' +
    'each stream is read as bytes and by the official SDK, and compared with the documented order of events, event by event',
  target: 'no deviation, and the SDK sees the same events and builds a message of them',
};

const tool = {
  name: 'get_weather',
  description: 'Weather of a city',
  input_schema: {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 12 } },
    required: ['city'],
  },
  strict: true,
};

/** What is asked, and how its answer may end. */
const cases = {
  'a text': { fields: { max_tokens: 400 }, ends: ['end_turn'] },
  'a text cut short': { fields: { max_tokens: 4 }, ends: ['max_tokens'] },
  'a stop sequence': { fields: { max_tokens: 400, stop_sequences: ['e'] }, ends: ['stop_sequence'] },
  'a call': { fields: { max_tokens: 400, tools: [tool], tool_choice: { type: 'any' } }, ends: ['tool_use'] },
};

const bodyOf = ({ fields }) => ({
  model: 'smollm2-135m',
  messages: [{ role: 'user', content: 'Greet me in one short sentence.' }],
  stream: true,
  temperature: 0,
  ...fields,
});

async function rawEvents(url, body) {
  const response = await fetch(`${url}/v1/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': 'any', 'anthropic-version': '2023-06-01' },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return parseEvents(text);
}

async function sdkEvents(client, body) {
  const stream = client.messages.stream(body);
  const events = [];
  // The SDK builds its message in the first event's own object.
  stream.on('streamEvent', (event) => events.push(structuredClone(event)));
  const message = await stream.finalMessage();
  return { events, message };
}

/** Kinds in order, runs of the same as one: how an answer is cut into deltas may differ. */
const outline = (events) =>
  events
    .map(({ type }) => type)
    .filter((type, i, all) => type !== 'ping' && type !== all[i - 1])
    .join(' ');

async function examine(url, name, wanted) {
  const body = { ...bodyOf(wanted), model: (await (await fetch(`${url}/v1/models`)).json()).data[0].id };
  const raw = await rawEvents(url, body);
  const { events, message } = await sdkEvents(
    new Anthropic({ baseURL: url, apiKey: 'any', maxRetries: 0 }),
    body,
  );
  const faults = [...faultsOf(raw), ...faultsOf(events.map((data) => ({ event: data.type, data })))];
  if (outline(raw.map(({ data }) => data)) !== outline(events)) faults.push('the SDK sees other events');
  if (!wanted.ends.includes(message.stop_reason)) faults.push(`it ended with ${message.stop_reason}`);
  return { count: raw.length, faults: faults.map((fault) => `${name}: ${fault}`) };
}

export async function run({ model }) {
  const server = await startServer(model);
  try {
    const figures = [];
    const faults = [];
    for (const [name, wanted] of Object.entries(cases)) {
      const found = await examine(server.url, name, wanted);
      figures.push(figure(`events of ${name}`, found.count, ''));
      faults.push(...found.faults);
    }
    return judged(figures, faults, 'every event where it belongs');
  } finally {
    await server.close();
  }
}
