import type { ChatMessage } from '../types.js';

/** The content of a message as one text; parts stand on lines of their own. */
export function messageText(message: Pick<ChatMessage, 'content'>): string {
  const { content } = message;
  return typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
}
