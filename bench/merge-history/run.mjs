// How good merge plans are, by what has been merged before: after `npm run build:ts`,
//
//   node bench/merge-history/run.mjs --repository PATH_OR_URL [--limit N] [--at COMMIT] [--json] [--list]
//
// Takes the merges of two commits in the history of COMMIT (by default the one that `repositories.json` pins for a
// repository of that name, else HEAD), the newest first, all or the N newest; those where one parent is an ancestor of
// the other need no merge and are passed over. Each is done anew by `git merge-tree --write-tree` and by
// `Reservations.planMerge`, and the two are compared with each other and with what people committed. `--list` prints
// each file in which they differ, `--json` every figure. What is counted: docs/merge-history.md.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Reservations } from '../../dist/reservations/index.js';
import { gitVersion, History } from './history.mjs';
import { judge } from './judge.mjs';
import { printed, summed } from './sums.mjs';

const { values } = parseArgs({
  options: {
    repository: { type: 'string' },
    limit: { type: 'string', default: 'Infinity' },
    at: { type: 'string' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});
if (!values.repository || !(Number(values.limit) > 0)) {
  console.error(
    'Usage: node bench/merge-history/run.mjs --repository PATH_OR_URL [--limit N] [--at COMMIT] [--json] [--list]',
  );
  process.exit(1);
}

/** The commit that figures of this repository are of: its name is in the address, or in the path with other marks. */
function pinned(source) {
  const sets = JSON.parse(readFileSync(new URL('repositories.json', import.meta.url), 'utf8'));
  const all = Object.values(sets).flatMap((set) => Object.entries(set));
  return all.find(([name]) => source.replace(/[+_]/g, '/').includes(name))?.[1].commit;
}

const history = new History(values.repository);
const reservations = await Reservations.open({ folder: history.folder });
const tip = values.at ?? pinned(values.repository) ?? 'HEAD';
const merges = [];
let passedOver = 0;
try {
  for (const commits of await history.merges(tip)) {
    if (merges.length >= Number(values.limit)) break;
    const bases = await history.bases(commits);
    if (bases.includes(commits.ours) || bases.includes(commits.theirs)) passedOver++;
    else merges.push(await replayed(commits, bases));
    if (process.stderr.isTTY) process.stderr.write(`\r${merges.length} `);
  }
} finally {
  await reservations.close();
  history.close();
}

async function replayed(commits, bases) {
  const common = { ...commits, bases: bases.length };
  const git = await history.merge(commits);
  const start = performance.now();
  try {
    const plan = await reservations.planMerge({ ours: commits.ours, theirs: commits.theirs });
    const ms = performance.now() - start;
    const [ofGit, ofHuman] = [await history.files(git.tree), await history.files(commits.id)];
    return { ...common, ms, files: await judge(plan, git, ofGit, ofHuman), isClean: git.paths.size === 0 };
  } catch (error) {
    // A fault of the bench itself has no code, and must not be counted as one of the plan.
    if (typeof error.code !== 'string') throw error;
    return {
      ...common,
      ms: performance.now() - start,
      error: error.code,
      files: [],
      isClean: git.paths.size === 0,
    };
  }
}

const sums = { tip, passedOver, git: gitVersion, ...summed(merges) };
if (values.list) list();
console.log(values.json ? JSON.stringify({ ...sums, merges }) : printed(sums));

function list() {
  for (const { id, files, bases } of merges)
    for (const file of files) {
      const word = remark(file);
      if (word)
        console.log(
          `${id.slice(0, 10)} ${bases > 1 ? `(${bases} bases) ` : ''}${word}: ${file.path} [${file.state}] ${file.kinds.join(' ')}`,
        );
    }
}

function remark({ inGit, state, isTold, isTextual, isNamed, isCode, isAsGit, isBroken }) {
  if (isBroken) return 'broken';
  if (inGit && !isTold) return 'missed';
  if (inGit && !isTextual) return 'not said to be textual';
  if (inGit && isCode && !isNamed) return 'unnamed';
  if (!inGit && state === 'refused') return 'too strict';
  return isAsGit === false ? 'other text than git' : undefined;
}
