// Adds up what was judged.

export function summed(merges) {
  const files = merges.flatMap((merge) => merge.files);
  const inGit = files.filter((file) => file.inGit);
  const refused = files.filter(({ state }) => state === 'refused');
  const noted = files.filter(({ state }) => state === 'noted');
  const isConflict = ({ files: own }) => own.some((file) => file.inGit);
  const isRefused = ({ files: own }) => own.some(({ state }) => state === 'refused');
  const made = files.filter(({ isMade }) => isMade);
  const byBoth = made.filter((file) => !file.inGit);
  const ofCode = inGit.filter(({ isCode }) => isCode);
  const resolved = inGit.filter(({ state }) => state !== 'refused');
  const times = merges.map(({ ms }) => ms).sort((a, b) => a - b);
  return {
    merges: merges.length,
    severalBases: merges.filter(({ bases }) => bases > 1).length,
    perMerge: {
      inGit: count(merges, isConflict),
      found: count(
        merges,
        (merge) => isConflict(merge) && merge.files.every((file) => !file.inGit || file.isTold),
      ),
      refused: count(merges, isRefused),
      refusedInGit: count(merges, (merge) => isRefused(merge) && isConflict(merge)),
    },
    recall: {
      inGit: inGit.length,
      refused: count(inGit, ({ state }) => state === 'refused'),
      resolvedAndTold: count(inGit, ({ state, isTold }) => state !== 'refused' && isTold),
      missed: count(inGit, ({ isTold }) => !isTold),
      byGitAlone: count(inGit, ({ isByGitAlone }) => isByGitAlone),
      saidToBeTextual: count(inGit, ({ isTextual }) => isTextual),
    },
    precision: {
      refused: refused.length,
      inGit: count(refused, (file) => file.inGit),
      notInGitByKind: byKind(refused.filter((file) => !file.inGit)),
      notedOnly: noted.length,
      notedByKind: byKind(noted),
    },
    named: { inGitOfCode: ofCode.length, named: count(ofCode, ({ isNamed }) => isNamed) },
    cleanInBoth: {
      made: byBoth.length,
      asGit: count(byBoth, ({ isAsGit }) => isAsGit),
      asHuman: count(byBoth, ({ isAsHuman }) => isAsHuman),
      otherThanGitButAsHuman: count(byBoth, ({ isAsGit, isAsHuman }) => !isAsGit && isAsHuman),
      broken: count(byBoth, ({ isBroken }) => isBroken),
    },
    taken: {
      files: count(files, ({ isMade, isAsGit }) => !isMade && isAsGit !== undefined),
      asGit: count(files, ({ isMade, isAsGit }) => !isMade && isAsGit),
    },
    resolvedWhereGitCouldNot: {
      files: resolved.length,
      made: count(resolved, ({ isMade }) => isMade),
      asHuman: count(resolved, ({ isAsHuman }) => isAsHuman),
      broken: count(resolved, ({ isBroken }) => isBroken),
    },
    milliseconds: { median: round(at(times, 0.5)), p95: round(at(times, 0.95)), max: round(at(times, 1)) },
    errors: tally(merges.flatMap(({ error }) => error ?? [])),
  };
}

const count = (all, test) => all.filter(test).length;
const round = (ms) => Math.round(ms ?? 0);
const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
const byKind = (files) => tally(files.map(({ kinds }) => kinds.join('+')));

function tally(words) {
  const counts = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}

const share = (part, whole) =>
  whole === 0 ? 'none' : `${part} of ${whole} (${((100 * part) / whole).toFixed(1)} %)`;
const told = (counts) =>
  Object.entries(counts)
    .map(([word, n]) => `${word} ${n}`)
    .join(', ') || 'none';

export function printed(sums) {
  const { perMerge, recall, precision, named, cleanInBoth, taken, resolvedWhereGitCouldNot: more } = sums;
  const rows = [
    ['merges', `${sums.merges}; ${sums.severalBases} with several bases; ${sums.passedOver} passed over`],
    ['tip, git', `${sums.tip.slice(0, 10)}, ${sums.git}`],
    ['merges in conflict for git, all files found', share(perMerge.found, perMerge.inGit)],
    ['merges refused by the plan, in conflict for git', share(perMerge.refusedInGit, perMerge.refused)],
    ['files in conflict for git, found', share(recall.inGit - recall.missed, recall.inGit)],
    [
      '… refused, resolved and told, said to be textual',
      `${recall.refused}, ${recall.resolvedAndTold}, ${recall.saidToBeTextual}`,
    ],
    ['… only since the plan asks git for its own merge', `${recall.byGitAlone}`],
    ['files refused, in conflict for git', share(precision.inGit, precision.refused)],
    ['… the others by kind', told(precision.notInGitByKind)],
    ['files merged, but noted, by kind', told(precision.notedByKind)],
    ['conflicts in known languages, symbols named', share(named.named, named.inGitOfCode)],
    ['texts made where git is clean, as git', share(cleanInBoth.asGit, cleanInBoth.made)],
    ['… as people committed', share(cleanInBoth.asHuman, cleanInBoth.made)],
    [
      '… other than git, but as people; broken',
      `${cleanInBoth.otherThanGitButAsHuman}; ${cleanInBoth.broken}`,
    ],
    ['files taken from one side, as git', share(taken.asGit, taken.files)],
    ['files merged where git is in conflict, as people', share(more.asHuman, more.files)],
    ['… broken', `${more.broken}`],
    ['milliseconds: median, p95, max', Object.values(sums.milliseconds).join(', ')],
    ['errors', told(sums.errors)],
  ];
  return rows.map(([what, value]) => `| ${what} | ${value} |`).join('\n');
}
