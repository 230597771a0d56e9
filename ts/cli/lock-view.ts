/** The locks as a person sees them: one line a lock, with who waits for it. Pure. */
import type { LockSnapshot, LockWaiter } from '../guard/index.js';
import { overlap } from '../guard/keys.js';
import { type Column, plain, table } from './table.js';
import { formatMs } from './units.js';

const right = (title: string): Column => ({ title, align: 'right' });

const columns: readonly Column[] = [
  { title: 'KEY' },
  { title: 'HOLDER' },
  { title: 'SESSION' },
  right('TOKEN'),
  right('HELD'),
  right('TTL LEFT'),
  { title: 'WAITING' },
];

/** Requests that wait for what nobody holds, behind others, have lines of their own. */
export function lockTable(locks: readonly LockSnapshot[], waiting: readonly LockWaiter[]): string {
  if (locks.length === 0 && waiting.length === 0) return 'Nothing is locked.';
  const held = locks.map((lock) => [
    lock.resource_key,
    lock.holder_agent_id,
    lock.holder_session_id,
    lock.fencing_token,
    formatMs(lock.held_duration_ms),
    formatMs(lock.ttl_remaining_ms),
    namesOf(waiting.filter((waiter) => waiter.resource_keys.some((key) => overlap(key, lock.resource_key)))),
  ]);
  const free = [...new Set(waiting.flatMap((waiter) => waiter.resource_keys))]
    .filter((key) => !locks.some((lock) => overlap(key, lock.resource_key)))
    .sort()
    .map((key) => {
      const waiters = waiting.filter((waiter) => waiter.resource_keys.includes(key));
      return [key, '(nobody)', '', '', '', '', namesOf(waiters)];
    });
  return table(
    columns,
    [...held, ...free].map((row) => row.map(plain)),
  );
}

function namesOf(waiters: readonly LockWaiter[]): string {
  return waiters.map(({ agent_id, session_id }) => `${agent_id}/${session_id}`).join(', ');
}
