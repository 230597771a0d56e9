import { describe, expect, it } from 'vitest';
import {
  BothEnds,
  cutOutput,
  freshBudget,
  isSpent,
  maxRunOutputBytes,
  spend,
} from '../../../ts/clutch/tools/limits.js';

describe('one output', () => {
  it('of 8,000 characters is whole, of 8,001 cut, and says by how much', () => {
    expect(cutOutput('x'.repeat(8000))).toBe('x'.repeat(8000));
    expect(cutOutput('x'.repeat(8001))).toBe(`${'x'.repeat(8000)}\n[cut: 1 of 8001 characters are missing]`);
  });

  it('is not cut within a character', () => {
    const cut = cutOutput(`${'x'.repeat(7999)}😀`);
    expect(cut).toBe(`${'x'.repeat(7999)}\n[cut: 2 of 8001 characters are missing]`);
  });
});

describe('all outputs of a run', () => {
  it('are 500,000 bytes; the one that goes over warns once, and then no tool is called', () => {
    const full = spend(freshBudget, 'x'.repeat(maxRunOutputBytes));
    expect(full.output).not.toContain('WARNING');
    expect(isSpent(full.budget)).toBe(false);

    const over = spend(full.budget, 'y');
    expect(over.output).toMatch(/^y\n\[WARNING: .* further calls are refused/);
    expect(isSpent(over.budget)).toBe(true);
    expect(over.budget.bytes).toBe(500_001);

    expect(spend(over.budget, 'z').output).toBe('z');
  });

  it('are counted as UTF-8, also after the budget was stored', () => {
    const { budget } = spend(freshBudget, '€'.repeat(166_666));
    const stored = JSON.parse(JSON.stringify(budget)) as typeof budget;
    expect(stored.bytes).toBe(499_998);
    expect(isSpent(spend(stored, '€').budget)).toBe(true);
  });
});

describe('the two ends of a text', () => {
  it('are the text itself as long as it is short', () => {
    const ends = new BothEnds(10);
    for (const part of ['abc', 'defg', 'hij']) ends.add(part);
    expect(ends.text).toBe('abcdefghij');
  });

  it('are its first and its last characters, in whatever pieces it came', () => {
    const text = Array.from({ length: 1000 }, (_, at) => at).join(' ');
    const [whole, pieces] = [new BothEnds(10), new BothEnds(10)];
    whole.add(text);
    for (const character of text) pieces.add(character);
    expect(whole.text).toBe(
      `0 1 2\n[cut: ${text.length - 10} of ${text.length} characters are missing here]\n8 999`,
    );
    expect(pieces.text).toBe(whole.text);
  });

  it('have no half characters', () => {
    const ends = new BothEnds(4);
    ends.add('a😀.......😀b');
    expect(ends.text).toBe('a\n[cut: 11 of 13 characters are missing here]\nb');
  });
});
