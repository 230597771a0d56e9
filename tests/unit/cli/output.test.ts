import { describe, expect, it } from 'vitest';
import { ProgressBar } from '../../../ts/cli/progress.js';
import { table } from '../../../ts/cli/table.js';
import { formatAge, formatBytes, formatMs, plural } from '../../../ts/cli/units.js';

class Screen {
  text = '';
  readonly isTTY: boolean;
  readonly columns = 60;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): void {
    this.text += text;
  }
}

describe('progress on a terminal', () => {
  it('draws one line over and over, and ends it', () => {
    const screen = new Screen(true);
    let now = 0;
    const bar = new ProgressBar(screen, () => now);
    for (const fraction of [0, 0.5, 1]) {
      bar.onLoad({ phase: 'load', fraction });
      now += 200;
    }
    bar.done();
    expect(screen.text.split('\r').slice(1)).toEqual([
      `Loading the model  [${'.'.repeat(24)}]    0 %`,
      `Loading the model  [${'#'.repeat(12)}${'.'.repeat(12)}]   50 %`,
      `Loading the model  [${'#'.repeat(24)}]  100 %\n`,
    ]);
  });

  it('is not drawn more often than it can be seen', () => {
    const screen = new Screen(true);
    const bar = new ProgressBar(screen, () => 0);
    for (let i = 0; i < 1000; i++) bar.update('Working', i / 1000, '');
    expect(screen.text.split('\r')).toHaveLength(2);
  });

  it('stays within the line and wipes what a shorter one leaves', () => {
    const screen = new Screen(true);
    let now = 0;
    const bar = new ProgressBar(screen, () => (now += 1000));
    bar.update('Working', undefined, 'x'.repeat(200));
    bar.update('Working', undefined, 'y');
    const [, first = '', second = ''] = screen.text.split('\r');
    expect(first).toHaveLength(59);
    expect(second).toBe('Working  y'.padEnd(59));
  });

  it('tells file, size and speed of a download', () => {
    const screen = new Screen(true);
    let now = 0;
    const bar = new ProgressBar(
      { write: (text) => screen.write(text), isTTY: true, columns: 200 },
      () => now,
    );
    const file = 'm.gguf';
    bar.onLoad({ phase: 'download', file, doneBytes: 0, totalBytes: 98_000_000 });
    now = 2000;
    bar.onLoad({ phase: 'download', file, doneBytes: 49_000_000, totalBytes: 98_000_000 });
    expect(screen.text).toContain('Downloading m.gguf');
    expect(screen.text).toContain('50 %  49.0 MB of 98.0 MB, 24.5 MB/s');
  });
});

describe('progress in a log', () => {
  it('is a line for each quarter', () => {
    const screen = new Screen(false);
    const bar = new ProgressBar(screen, () => 0);
    for (let i = 0; i <= 100; i++) bar.update('Working', i / 100, '');
    bar.done();
    expect(screen.text).toBe('Working: 0 %\nWorking: 25 %\nWorking: 50 %\nWorking: 75 %\nWorking: 100 %\n');
  });

  it('is one line while the end is not known', () => {
    const screen = new Screen(false);
    const bar = new ProgressBar(screen, () => 0);
    for (let i = 0; i < 10; i++) {
      bar.onLoad({ phase: 'download', file: 'f', doneBytes: i * 1000, totalBytes: undefined });
    }
    expect(screen.text).toBe('Downloading f: (0 B)\n');
  });
});

it('a table has columns as wide as they must be, numbers on the right', () => {
  const columns = [{ title: 'NAME' }, { title: 'N', align: 'right' }, { title: 'WHAT' }] as const;
  const rows = [
    ['a', '1', 'x'],
    ['longer', '1000', ''],
  ];
  expect(table(columns, rows)).toBe(
    ['NAME       N  WHAT', '------  ----  ----', 'a          1  x', 'longer  1000'].join('\n'),
  );
  expect(table(columns, [])).toBe('NAME  N  WHAT\n----  -  ----');
});

describe('units', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [98_362_432, '98.4 MB'],
    [999_600_000, '1.0 GB'],
    [123e9, '123 GB'],
    [5e15, '5000 TB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [0.84, '0.8 ms'],
    [9.96, '10 ms'],
    [999.6, '1.00 s'],
    [12_340, '12.34 s'],
    [180_000, '3 min'],
  ])('%d ms are %s', (ms, text) => expect(formatMs(ms)).toBe(text));

  it.each([
    [0, '0 s ago'],
    [59_000, '59 s ago'],
    [61_000, '1 min ago'],
    [7_200_000, '2 h ago'],
    [200_000_000, '2 d ago'],
  ])('%d ms ago is %s', (ms, text) => expect(formatAge(ms)).toBe(text));

  it('count', () => {
    expect([plural(1, 'agent'), plural(0, 'agent'), plural(2, 'agent')]).toEqual([
      '1 agent',
      '0 agents',
      '2 agents',
    ]);
  });
});
