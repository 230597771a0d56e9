// The catalogue: groups of cases that one child process measures together, and how often.

/**
 * name: what --cases takes. figures: what it reports, for --help. maxTrials: long groups run at most so often.
 * next: a group that goes on from what this one left on disk, in a new process.
 */
export const groups = [
  { name: 'decode', figures: 'decode short', maxTrials: Infinity },
  { name: 'context', figures: 'decode at 512, 1K, 2K, 4K', maxTrials: 3 },
  { name: 'sum', figures: 'sum over 1, 2, 3, 4, 6, 8, 12, 16 agents', maxTrials: Infinity },
  { name: 'sum-2k', figures: 'sum over 8 at 2K, private and shared', maxTrials: 3 },
  {
    name: 'prompt',
    figures: 'prefill 512, 2048, 6144; first token cold, shared prefix, returning, restored',
    maxTrials: 3,
    next: 'restored',
  },
  { name: 'loop', figures: 'event loop p99 with 32 streams', maxTrials: 3 },
];

/**
 * @param {string | undefined} list comma-separated names; undefined: all
 * @throws Error that names the known groups
 */
export function chooseGroups(list) {
  if (list === undefined) return groups;
  return list.split(',').map((name) => {
    const found = groups.find((group) => group.name === name.trim());
    if (!found) {
      const known = groups.map((group) => group.name).join(', ');
      throw new Error(`--cases: there is no "${name}"; known: ${known}`);
    }
    return found;
  });
}

/** Cases of a side without sharing that equal another one of its own: nothing is shared, so it computes all. */
export const unshared = {
  'sum over 8 at 2K shared': 'sum over 8 at 2K private',
  'first token shared prefix 2K': 'first token cold 2K',
};
