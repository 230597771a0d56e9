/** What `doctor --gpu` says, to be pasted into a report. */
import { describe, expect, it } from 'vitest';
import { gpuReport, withoutGpu } from '../../../ts/cli/commands/gpu-check.js';
import { StompError } from '../../../ts/errors.js';

const fine = { name: '8/2 heads of 64', failure: '', difference: 0.00012, microseconds: 41.6 };

describe('the report of a GPU', () => {
  it('is a table that says that all is well', () => {
    const report = gpuReport([fine]);
    expect(report).toContain('| 8/2 heads of 64 | ok | 1.2e-4 | 42 |');
    expect(report).toContain("All 1 agree with MLX's own operations.");
    expect(report).toContain(`${process.platform}-${process.arch}`);
  });

  it('says what fails, on one line, and what that means', () => {
    const report = gpuReport([
      fine,
      { ...fine, failure: 'program_source:3\nerror | no', difference: Number.NaN },
    ]);
    expect(report).toContain('| program_source:3 error   no | NaN |');
    expect(report).toContain('1 of 2 do not');
  });

  it('says so where there are no such kernels', () => {
    expect(gpuReport([])).toContain("no kernels of stomp-serve's own");
  });
});

it('without a GPU there is nothing to do, and that is said', () => {
  const told = new StompError(
    'EXECUTOR_UNAVAILABLE',
    'MLX finds no GPU here; use its device "cpu", or another',
  );
  expect(withoutGpu(told)).toMatchObject({
    code: 'EXECUTOR_UNAVAILABLE',
    message: expect.stringMatching(/nothing else is to be done: --executor cpu serves\.$/),
  });
  const other = new StompError('EXECUTOR_UNAVAILABLE', 'The MLX executor was not built.');
  expect(withoutGpu(other)).toBe(other);
});
