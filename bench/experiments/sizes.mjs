// The lengths at which caches are written, read and resumed.

/** What a turn adds when an agent comes back, and what it answers. */
export const tailTokens = 16;
export const answerTokens = 8;

/**
 * `8K` leaves room for the answers within the default model's context of 8,192; `16K` is two agents of that length at
 * once.
 */
export const sizes = [
  { name: '2K', tokens: 2048, agents: 1 },
  { name: '4K', tokens: 4096, agents: 1 },
  { name: '8K', tokens: 8128, agents: 1 },
  { name: '16K', tokens: 8128, agents: 2 },
];

/** Names of a size's agents; `round` tells those of one measurement from those of the next. */
export const agentsOf = ({ name, agents }, round = 0) =>
  Array.from({ length: agents }, (_, i) => `${name}-${round}-${i}`);

/** What sets a conversation apart from all others of an experiment: see prompts() in ../workload.mjs. */
export const saltOf = (size, round, i) => sizes.indexOf(size) * 20 + round * 3 + i + 1;
