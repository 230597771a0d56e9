// What happened in a soak, a line of JSON each: enough to do it again, and to know what must not be lost.
//   { type: 'turn', id, model, added, options, tokens, whole }   answered; whole: not cancelled
//   { type: 'fork', id, from }                                   `id` begins with what `from` holds
//   { type: 'saved', id, length }                                so many tokens of it are on disk
//   { type: 'end', id }                                          nobody asks for it again
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

/** A line is in the file when this returns: it outlives the process, however that ends. */
export const write = (path, entry) => appendFileSync(path, `${JSON.stringify(entry)}\n`);

/** Entries in order; a last line that a kill cut is none. */
export function read(path) {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  lines.pop();
  return lines.map((line) => JSON.parse(line));
}

/** What becomes of conversations when an entry happens. By id: { model, tokens, saved }. */
export function apply(conversations, entry) {
  const { id } = entry;
  switch (entry.type) {
    case 'turn': {
      const { model, tokens, saved } = conversations.get(id) ?? { model: entry.model, tokens: [], saved: 0 };
      conversations.set(id, { model, tokens: [...tokens, ...entry.added, ...entry.tokens], saved });
      break;
    }
    case 'fork':
      conversations.set(id, { ...conversations.get(entry.from), saved: 0 });
      break;
    case 'saved':
      conversations.get(id).saved = entry.length;
      break;
    case 'end':
      conversations.delete(id);
      break;
    default:
      throw new Error(`The journal has an entry of an unknown type: ${entry.type}.`);
  }
}
