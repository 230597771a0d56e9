// Several answers at once.
import { decodeRate } from './statistics.mjs';

/**
 * Tokens a second of as many answers as there are prompts. Those are read before, one after the other, so that the
 * answers begin together however long a machine reads.
 * @param {{ generate: Function, forget: Function }} side
 * @param {readonly (readonly number[])[]} prompts
 * @param {{ maxTokens: number, slot: (i: number) => string, more?: (i: number) => readonly number[] }} options more:
 *   what is asked after the first token
 */
export async function rateTogether(side, prompts, { maxTokens, slot, more = () => [] }) {
  const conversations = [];
  for (const [i, prompt] of prompts.entries()) {
    const { tokens } = await side.generate(slot(i), prompt, 1);
    conversations.push([...prompt, ...tokens, ...more(i)]);
  }
  const streams = await Promise.all(
    conversations.map((conversation, i) => side.generate(slot(i), conversation, maxTokens)),
  );
  for (const i of prompts.keys()) await side.forget(slot(i));
  return decodeRate(streams);
}
