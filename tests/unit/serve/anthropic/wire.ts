/** What tests of Anthropic's routes share. */
import type { GenerationChunk } from '../../../../ts/engine/types.js';

export const path = '/v1/messages';
export const base = { model: 'tiny', max_tokens: 100, messages: [{ role: 'user', content: 'Hello' }] };

export interface WireEvent {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** The named events of a stream, comments left out. */
export async function namedEvents(response: Response): Promise<WireEvent[]> {
  const text = await response.text();
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [name = '', data = ''] = block.split('\n');
      return { event: name.slice('event: '.length), data: JSON.parse(data.slice('data: '.length)) as never };
    });
}

let token = 0;

export function text(said: string): GenerationChunk {
  return { type: 'text', text: said, tokens: [token++] };
}

export function thought(said: string): GenerationChunk {
  return { type: 'reasoning', text: said, tokens: [token++] };
}

/** A call in one chunk for its name and one for each piece of its arguments. */
export function call(index: number, id: string, name: string, ...pieces: string[]): GenerationChunk[] {
  return [
    { type: 'tool_call', index, id, name, arguments: '', tokens: [token++] },
    ...pieces.map((piece) => ({
      type: 'tool_call' as const,
      index,
      arguments: piece,
      tokens: [token++],
    })),
  ];
}

export const weather = {
  name: 'get_weather',
  description: 'Weather of a place',
  input_schema: { type: 'object', properties: { location: { type: 'string' } }, required: ['location'] },
};

export interface AnthropicError {
  readonly type: string;
  readonly error: {
    readonly type: string;
    readonly message: string;
    readonly code: string;
    readonly details: Record<string, unknown>;
  };
  readonly request_id: string;
}
