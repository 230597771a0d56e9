/** A model that says what a test has written, behind a server that speaks as OpenAI's does. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ScriptedCall {
  readonly name: string;
  readonly args: object | string;
}

/** The call that most tests are about. */
export function runScript(script: string): ScriptedCall {
  return { name: 'run_script', args: { script } };
}

/** What the model says in one round. */
export interface Turn {
  readonly text?: string;
  readonly calls?: readonly ScriptedCall[];
  /** Milliseconds before each word of the text. @default 0 */
  readonly pace?: number;
}

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: string | null;
  readonly tool_calls?: readonly {
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
}

/** @param asked what it was asked, all of it */
export type Script = (asked: readonly ChatMessage[]) => Turn | ((response: ServerResponse) => void);

export class ScriptedModel {
  readonly url: string;
  readonly asked: (readonly ChatMessage[])[];
  /** The same, whole. */
  readonly bodies: Readonly<Record<string, unknown>>[] = [];
  readonly close: () => Promise<void>;

  private constructor(url: string, asked: (readonly ChatMessage[])[], close: () => Promise<void>) {
    this.url = url;
    this.asked = asked;
    this.close = close;
  }

  static async start(script: Script): Promise<ScriptedModel> {
    const asked: (readonly ChatMessage[])[] = [];
    let model: ScriptedModel | undefined;
    const server = createServer((request, response) => {
      let text = '';
      request.on('data', (chunk) => (text += chunk));
      request.on('end', () => {
        const body = JSON.parse(text) as { messages: ChatMessage[] };
        const { messages } = body;
        model?.bodies.push({ ...body });
        asked.push(messages);
        const turn = script(messages);
        if (typeof turn === 'function') turn(response);
        else void say(response, turn, asked.length);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
    model = new ScriptedModel(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked, close);
    return model;
  }
}

/** How many rounds the model has had before. */
export function roundOf(asked: readonly ChatMessage[]): number {
  return asked.filter(({ role }) => role === 'assistant').length;
}

/** Says one turn after another, and then that it is done. */
export function turns(...list: readonly Turn[]): Script {
  return (asked) => list[roundOf(asked)] ?? { text: 'Done.' };
}

async function say(
  response: ServerResponse,
  { text = '', calls = [], pace = 0 }: Turn,
  n: number,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const content of text.split(/(?<= )/)) {
    if (pace > 0) await new Promise((resolve) => setTimeout(resolve, pace));
    write(response, chunk({ content }));
  }
  for (const [index, { name, args }] of calls.entries()) {
    const given = typeof args === 'string' ? args : JSON.stringify(args);
    const call = { index, id: `call_${n}_${index}`, type: 'function', function: { name, arguments: given } };
    write(response, chunk({ tool_calls: [call] }));
  }
  write(response, chunk({}, calls.length > 0 ? 'tool_calls' : 'stop'));
  write(response, {
    ...head,
    choices: [],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  });
  response.end('data: [DONE]\n\n');
}

const head = { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'scripted' };

function chunk(delta: object, finish_reason: string | null = null): object {
  return { ...head, choices: [{ index: 0, delta, finish_reason }] };
}

function write(response: ServerResponse, event: object): void {
  response.write(`data: ${JSON.stringify(event)}\n\n`);
}
