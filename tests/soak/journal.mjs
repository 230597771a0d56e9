// What happened in a soak, a line of JSON each: enough to do it again, and to know what must not be lost.
//   { type: 'turn', id, model, added, options, tokens, whole,    answered; whole: not cancelled; of the tokens of the
//     restored, computed, accepted }                             prompt and the answer, where they came from
//   { type: 'fork', id, from }                                   `id` begins with what `from` holds
//   { type: 'saved', id, length }                                so many tokens of it are on disk
//   { type: 'end', id }                                          nobody asks for it again
//   { type: 'found', id }                                        what was saved was there after a kill
//   { type: 'evicted', id }, { type: 'no room', id }             moved to disk; not forked for want of room
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
    case 'found':
    case 'evicted':
    case 'no room':
      break;
    default:
      throw new Error(`The journal has an entry of an unknown type: ${entry.type}.`);
  }
}

/** How often each thing happened, and sums of what is counted. */
export function summary(entries) {
  const of = (type, holds = () => true) =>
    entries.filter((entry) => entry.type === type && holds(entry)).length;
  const sum = (key) => entries.reduce((total, entry) => total + (entry[key] ?? 0), 0);
  return {
    answers: of('turn', ({ whole }) => whole),
    'cut short': of('turn', ({ whole }) => !whole),
    'read back from disk': of('turn', ({ restored }) => restored > 0),
    saved: of('saved'),
    evicted: of('evicted'),
    forked: of('fork'),
    ended: of('end'),
    'found after a kill': of('found'),
    'prompt tokens computed': sum('computed'),
    'drafts accepted': sum('accepted'),
  };
}
