// A progress log of many varied entries, the same ones every time.
import { emojiOf, priorityOf } from '../../dist/context/entry.js';
import { insertEntries } from '../../dist/context/entry-rows.js';
import { contextMigrations } from '../../dist/context/schema.js';
import { rows } from '../../dist/storage/storage.js';

export const project = 'bench';
export const begin = Date.UTC(2026, 0, 1);
/** How long the log goes on, in milliseconds. */
export const lengths = { month: 30 * 86_400_000, hour: 3_600_000 };
const together = 2000;

const words = (
  'build test deploy retry cache index parse merge lock lease agent session project entry token model shard queue ' +
  'worker timeout request response schema migration table page cursor filter query header body socket stream ' +
  'buffer thread core memory disk file folder path name key value hash chain audit mirror state event error ' +
  'warning note plan step done failed passed skipped started stopped'
).split(' ');
const statuses = ['info', 'success', 'warn', 'error', 'plan', 'bug'];
const shares = [0.5, 0.75, 0.88, 0.96, 0.999, 1];
const categories = ['build', 'test', 'deploy', 'review', 'docs', 'research', 'ops', 'security'];
const tags = ['ci', 'nightly', 'flaky', 'ui', 'api', 'db', 'slow'];

/** Numbers from 0 to 1, by a linear congruence. */
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What the messages of lines end with. */
export const ofLine = (line) => line.toString(36).padStart(6, '0');

const one = (random, values) => values[Math.floor(random() * values.length)];

function entryAt(line, ts, random) {
  const share = random();
  const status = statuses[shares.findIndex((bound) => share < bound)];
  const message = Array.from({ length: 6 + Math.floor(random() * 12) }, () => one(random, words)).join(' ');
  return {
    id: `e${line}`,
    project,
    line,
    ts,
    agent: `agent-${Math.floor(random() * 64)}`,
    session_id: null,
    status,
    emoji: random() < 0.0001 ? '🚀' : emojiOf[status],
    priority: random() < 0.001 ? 'critical' : priorityOf[status],
    category: random() < 0.1 ? null : one(random, categories),
    tags: line % 100_000 === 0 ? ['rare'] : random() < 0.5 ? [one(random, tags)] : [],
    confidence: random() < 0.5 ? null : Math.round(random() * 100) / 100,
    message: `${message} req-${ofLine(line)}`,
    meta: { run: `r${Math.floor(line / 50)}`, env: random() < 0.5 ? 'prod' : 'test' },
    token: '1',
    sha256: 'f'.repeat(64),
  };
}

/** @returns microseconds that an entry took */
export async function fill(storage, count, lengthMs) {
  await storage.migrate(contextMigrations);
  const random = numbers(7);
  await storage.write(function* () {
    yield* rows(
      "INSERT INTO metrics (project, entries, info, success, warn, error, bug, plan, last_entry_at, head) VALUES (?, 0, 0, 0, 0, 0, 0, 0, NULL, '')",
      project,
    );
  });
  let us = 0;
  for (let line = 1; line <= count; line += together) {
    const entries = [];
    for (let i = line; i < line + together && i <= count; i++)
      entries.push(entryAt(i, begin + Math.floor((i / count) * lengthMs), random));
    const began = performance.now();
    await storage.write(() => insertEntries(entries));
    us += (performance.now() - began) * 1000;
    if ((line - 1) % 100_000 === 0) process.stderr.write(`${storage.dialect}: ${line - 1} entries\n`);
  }
  return us / count;
}
