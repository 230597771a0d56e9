/** A model in a process of its own that asks for a script where it is told to wait, and otherwise talks at a steady pace. */
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const words = 200;
const paceMs = 10;
const head = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'steady' };

const server = createServer((request, response) => {
  let text = '';
  request.on('data', (chunk) => (text += chunk));
  request.on('end', () => answer(JSON.parse(text).messages, response));
});

async function answer(messages, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const say = (delta, finish_reason = null) => {
    const choices = [{ index: 0, delta, finish_reason }];
    response.write(`data: ${JSON.stringify({ ...head, choices })}\n\n`);
  };
  if (messages.some(({ content }) => content === 'Wait.')) {
    const call = { name: 'run_script', arguments: JSON.stringify({ script: 'true' }) };
    say({ tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: call }] });
    say({}, 'tool_calls');
  } else {
    for (let i = 0; i < words; i++) {
      await sleep(paceMs);
      say({ content: `word ${i} ` });
    }
    say({}, 'stop');
  }
  response.end('data: [DONE]\n\n');
}

server.listen(0, '127.0.0.1', () => console.log(server.address().port));
