/** Blocks that say how files have changed, where they stand in a conversation. Pure. */
import type { Message, ToolMessage, ToolResult } from './conversation.js';

export const refreshHeading = '[SYSTEM: FILES UPDATED]';

/** The conversation with a block on its last tool result, and without those before. */
export function withRefresh(messages: readonly Message[], block: string): Message[] {
  const last = messages.at(-1);
  const result = last?.role === 'tool' ? last.results.at(-1) : undefined;
  if (last?.role !== 'tool' || !result) {
    throw new TypeError('A conversation is refreshed after the results of a round.');
  }
  const refreshed: ToolResult = {
    ...result,
    output: `${result.output}\n\n${block}`,
    refreshAt: result.output.length,
  };
  const message: ToolMessage = { ...last, results: [...last.results.slice(0, -1), refreshed] };
  return [...stripped(messages.slice(0, -1)), message];
}

/** Without all blocks but the newest, which says what the others said. Messages without one are the same objects. */
export function stripStaleRefreshes(messages: readonly Message[]): Message[] {
  const newest = messages.findLastIndex(
    ({ role, ...rest }) => role === 'tool' && 'results' in rest && rest.results.some(hasRefresh),
  );
  return newest < 0 ? [...messages] : [...stripped(messages.slice(0, newest)), ...messages.slice(newest)];
}

function stripped(messages: readonly Message[]): Message[] {
  return messages.map((message) => {
    if (message.role !== 'tool' || !message.results.some(hasRefresh)) return message;
    return { ...message, results: message.results.map(withoutRefresh) };
  });
}

function hasRefresh({ refreshAt }: ToolResult): boolean {
  return refreshAt !== undefined;
}

function withoutRefresh(result: ToolResult): ToolResult {
  const { refreshAt, ...rest } = result;
  return refreshAt === undefined ? result : { ...rest, output: result.output.slice(0, refreshAt) };
}
