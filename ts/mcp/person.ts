/** The person behind an MCP client, where the client lets a server ask (elicitation). */
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { RequestId } from '@modelcontextprotocol/sdk/types.js';
import type { Answer, Person, Question } from '../tools/tool.js';

/** A person takes as long as a person takes. */
const longestMs = 86_400_000;

const unnamed = 'an MCP client';

/**
 * @param call the request in whose course the person is asked
 * @param onError is told of a client that cannot ask after all, which counts as no answer
 * @returns undefined for a client that lets nobody ask
 */
export function personAt(
  server: Server,
  call: RequestId,
  onError: (error: Error) => void,
): Person | undefined {
  if (!server.getClientCapabilities()?.elicitation?.form) return undefined;
  return {
    client: server.getClientVersion()?.name ?? unnamed,
    ask: async (question, signal) => {
      try {
        const options = { relatedRequestId: call, signal, timeout: longestMs };
        const { action, content } = await server.elicitInput(formOf(question), options);
        return answerOf(action, content?.['answer']);
      } catch (error) {
        signal.throwIfAborted();
        onError(error as Error);
        return { action: 'cancel' };
      }
    },
  };
}

function formOf({ message, field, choices = [] }: Question) {
  const among = choices.length === 0 ? {} : { enum: [...new Set(choices)] };
  const properties =
    field === undefined ? {} : { answer: { type: 'string' as const, title: field.slice(0, 200), ...among } };
  return {
    message,
    requestedSchema: { type: 'object' as const, properties, required: Object.keys(properties) },
  };
}

function answerOf(action: Answer['action'], text: unknown): Answer {
  return typeof text === 'string' ? { action, text } : { action };
}
