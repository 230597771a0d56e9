import { describe, expect, it } from 'vitest';
import type { ApprovalWire, RunWire } from '../../../ts/clutch/wire.js';
import { takeToken } from '../../../ts/ui/api/token.js';
import { neighbour, queueOf } from '../../../ts/ui/approvals/queue-order.js';
import { cellsOf } from '../../../ts/ui/panels/pool-map.js';
import { bytes, duration } from '../../../ts/ui/parts/format.js';
import { emptyRun, runInput } from '../../../ts/ui/runs/run-input.js';
import { listRuns } from '../../../ts/ui/runs/run-order.js';

const approval = (id: string, created_at: number, status = 'pending') =>
  ({ id, created_at, status }) as ApprovalWire;

describe('the queue', () => {
  const all = [approval('c', 3), approval('a', 1, 'approved'), approval('b', 2), approval('d', 4)];

  it('has those that wait, the oldest first, and leaves what is open in its place', () => {
    expect(queueOf(all, undefined).map(({ id }) => id)).toEqual(['b', 'c', 'd']);
    expect(queueOf(all, 'a').map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('is walked to its ends, and from what is decided to anything that waits', () => {
    const queue = queueOf(all, 'a');
    expect(neighbour(queue, 'a', 1)).toBe('b');
    expect(neighbour(queue, 'a', -1)).toBe('b');
    expect(neighbour(queueOf(all, 'd'), 'd', 1)).toBeUndefined();
    expect(neighbour(queueOf(all, 'd'), 'd', -1)).toBe('c');
    const last = [approval('b', 2), approval('d', 4, 'rejected')];
    expect(neighbour(last, 'd', 1)).toBe('b');
  });
});

describe('the list of runs', () => {
  const run = (id: string, created_at: number, more: Partial<RunWire> = {}) =>
    ({ id, created_at, status: 'sending', ...more }) as RunWire;

  it('has what is at work first, the newest first, and children below their parents', () => {
    const runs = [
      run('old', 1),
      run('over', 9, { status: 'done' }),
      run('child 2', 6, { parent_id: 'old' }),
      run('child 1', 5, { parent_id: 'old', status: 'done' }),
      run('new', 3),
      run('orphan', 2, { parent_id: 'gone' }),
    ];
    expect(listRuns(runs).map(({ run: { id }, depth }) => `${depth} ${id}`)).toEqual([
      '0 new',
      '0 orphan',
      '0 old',
      '1 child 1',
      '1 child 2',
      '0 over',
    ]);
  });
});

describe('the form of a run', () => {
  it('says only what is filled in', () => {
    expect(runInput({ ...emptyRun, prompt: 'Go' })).toEqual({ prompt: 'Go' });
  });

  it('reads numbers, files and tickets', () => {
    const tickets = [{ id: 'a', role: 'builder', prompt: 'Build', after: 'x, y' }];
    const draft = { ...emptyRun, max_tokens: '100', temperature: '0', file_items: 'a.ts\n\n b.ts ', tickets };
    expect(runInput(draft)).toEqual({
      max_tokens: 100,
      temperature: 0,
      file_items: ['a.ts', 'b.ts'],
      tickets: [{ id: 'a', role: 'builder', prompt: 'Build', depends_on: ['x', 'y'] }],
    });
  });
});

describe('the map of the pool', () => {
  const map = (used: number, cached: number, free: number, most = 100) =>
    cellsOf({ capacity: used + cached + free, cached, free, block_bytes: 1 }, most);
  const counts = (cells: readonly string[]) =>
    ['used', 'cached', 'free'].map((kind) => cells.filter((cell) => cell === kind).length);

  it('has a cell for each block of a small pool, and shares of a large one', () => {
    expect(counts(map(1, 2, 3))).toEqual([1, 2, 3]);
    expect(counts(map(2000, 3000, 5000))).toEqual([20, 30, 50]);
  });

  it('shows a single used block of a large pool', () => {
    expect(counts(map(1, 1, 9998))).toEqual([1, 1, 98]);
    expect(counts(map(0, 0, 0))).toEqual([0, 0, 0]);
  });
});

describe('the approver token', () => {
  const place = (hash: string, kept?: string) => {
    const store = new Map(kept === undefined ? [] : [['stomp-approver-token', kept]]);
    const shown: string[] = [];
    return {
      location: { hash, pathname: '/ui/', search: '' },
      history: {
        replaceState: (_: unknown, __: string, url?: string | URL | null) => shown.push(String(url)),
      },
      storage: {
        getItem: (key: string) => store.get(key) ?? null,
        setItem: (key: string, value: string) => void store.set(key, value),
        removeItem: (key: string) => void store.delete(key),
      },
      shown,
      store,
    };
  };

  it('is taken out of the address, and kept', () => {
    const from = place('#token=secret');
    expect(takeToken(from)).toBe('secret');
    expect(from.shown).toEqual(['/ui/']);
    expect([...from.store.values()]).toEqual(['secret']);
  });

  it('is remembered, or is not there', () => {
    expect(takeToken(place('', 'before'))).toBe('before');
    expect(takeToken(place('#token=new', 'before'))).toBe('new');
    expect(takeToken(place('#token='))).toBeUndefined();
  });
});

describe('figures', () => {
  it('are short', () => {
    expect([0, 999, 1000, 243_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.0 kB', '243 MB']);
    expect([-5, 59_000, 61_000, 3_660_000, 90_000_000].map(duration)).toEqual([
      '0 s',
      '59 s',
      '1 min 01 s',
      '1 h 01 min',
      '1 d 1 h',
    ]);
  });
});
