/** Tokens, guessed from lengths: rather too many than too few, for any text and tokenizer in use. */
import type { Message } from '../conversation.js';
import type { ProviderRequest } from './provider.js';

/** English has four bytes and more to a token, code and Chinese about three. */
const bytesPerToken = 3;
/** Markers of a message, a call or a tool. */
const markerTokens = 8;

export function estimateText(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / bytesPerToken);
}

export function estimateMessage(message: Message): number {
  switch (message.role) {
    case 'user':
      return estimateText(message.text) + markerTokens;
    case 'tool':
      return sum(message.results.map(({ name, output }) => estimateText(name + output) + markerTokens));
    case 'assistant': {
      const calls = message.calls.map((call) => estimateText(call.name + call.arguments) + markerTokens);
      const told = estimateText(message.text) + sum(calls);
      // What is kept tells the same once more, and thoughts.
      return Math.max(told, estimateText(JSON.stringify(message.kept?.content ?? ''))) + markerTokens;
    }
  }
}

export function estimateRequest(request: Omit<ProviderRequest, 'signal'>): number {
  const before = [request.system, ...request.context, ...request.tools.map((tool) => JSON.stringify(tool))];
  return (
    sum(before.map((text) => estimateText(text) + markerTokens)) + sum(request.messages.map(estimateMessage))
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
