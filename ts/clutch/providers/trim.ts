/** Texts and conversations made to fit what a provider takes. Pure, but for `fitHistory`, which has tokens counted. */
import type { Message } from '../conversation.js';
import { stripStaleRefreshes } from '../refresh-blocks.js';
import { estimateMessage } from './estimate.js';
import type { Provider, ProviderRequest } from './provider.js';

/** Longest block of system text. */
export const systemBlockChars = 120_000;

/** In pieces that give the text again when joined; at line ends where there are any, never within a character. */
export function splitText(text: string, maxChars = systemBlockChars): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = pieceEnd(text, start, maxChars);
    pieces.push(text.slice(start, end));
    start = end;
  }
  return pieces;
}

function pieceEnd(text: string, start: number, maxChars: number): number {
  const limit = start + maxChars;
  if (limit >= text.length) return text.length;
  const line = text.lastIndexOf('\n', limit - 1) + 1;
  if (line > start) return line;
  const isSplit = /^[\uDC00-\uDFFF]/.test(text.slice(limit, limit + 1)) && maxChars > 1;
  return isSplit ? limit - 1 : limit;
}

/**
 * Leaves out the oldest turns, each whole: a user's message with all that was answered to it, up to the last such
 * turn; then that one's oldest rounds, a call never without its results. The last message of the user and the last
 * round stay, whatever they hold.
 * @param excess as many tokens are to go
 */
export function dropOldestTurns(
  messages: readonly Message[],
  excess: number,
  tokensOf: (message: Message) => number,
): Message[] {
  const question = messages.findLastIndex(({ role }) => role === 'user');
  const older = groups(messages.slice(0, Math.max(question, 0)), ({ role }) => role === 'user');
  const asked = messages.slice(Math.max(question, 0), question + 1);
  const rounds = groups(messages.slice(question + 1), ({ role }) => role === 'assistant');
  const droppable = [...older, ...rounds.slice(0, -1)];
  let dropped = 0;
  for (let gone = 0; gone < excess && dropped < droppable.length; dropped++) {
    gone += (droppable[dropped] ?? []).reduce((total, message) => total + tokensOf(message), 0);
  }
  const keptRounds = rounds.slice(Math.max(0, dropped - older.length));
  return [...older.slice(dropped).flat(), ...asked, ...keptRounds.flat()];
}

/** Each begins with a message that `begins`, but for the first, perhaps. */
function groups(messages: readonly Message[], begins: (message: Message) => boolean): Message[][] {
  const made: Message[][] = [];
  for (const message of messages) {
    const current = made.at(-1);
    if (current === undefined || begins(message)) made.push([message]);
    else current.push(message);
  }
  return made;
}

/** More goes than must, in steps of this share of the limit: the beginning of what is sent then stays for a while. */
const stepShare = 0.25;

/** The messages of a request as far as they fit; perhaps too many still, where the last turn is too long. */
export async function fitHistory(
  provider: Pick<Provider, 'historyTokens' | 'countTokens'>,
  request: Omit<ProviderRequest, 'signal'>,
): Promise<readonly Message[]> {
  const limit = await provider.historyTokens(request);
  const excessOf = async (messages: readonly Message[]) =>
    (await provider.countTokens({ ...request, messages })) - limit;
  if ((await excessOf(request.messages)) <= 0) return request.messages;
  let messages = stripStaleRefreshes(request.messages);
  for (;;) {
    const excess = await excessOf(messages);
    if (excess <= 0) return messages;
    const step = Math.max(1, limit * stepShare);
    const fewer = dropOldestTurns(messages, Math.ceil(excess / step) * step, estimateMessage);
    if (fewer.length === messages.length) return messages;
    messages = fewer;
  }
}
