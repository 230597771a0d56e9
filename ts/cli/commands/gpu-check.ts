/** `stomp-serve doctor --gpu`: whether the kernels for GPUs do here what they should, as a table for a report. */
import { cpus } from 'node:os';
import { chooseExecutor } from '../../engine/executor-choice.js';
import { StompError, toStompError } from '../../errors.js';
import { type NativeKernelCheck, native } from '../../native.js';
import { packageVersion } from '../../version.js';
import { print, type Terminal } from '../terminal.js';

/** @returns the exit code: 1 when a kernel fails @throws StompError EXECUTOR_UNAVAILABLE without a GPU or MLX */
export function examineGpu(terminal: Terminal): number {
  const checks = kernelChecks();
  print(terminal, gpuReport(checks));
  return checks.some(({ failure }) => failure !== '') ? 1 : 0;
}

function kernelChecks(): readonly NativeKernelCheck[] {
  const { mlxLibrary } = chooseExecutor('mlx');
  try {
    return native().checkKernels(mlxLibrary, 'gpu');
  } catch (caught) {
    throw withoutGpu(toStompError(caught));
  }
}

/** What there is to do where a GPU was only to be checked: nothing. */
export function withoutGpu(error: StompError): StompError {
  if (error.code !== 'EXECUTOR_UNAVAILABLE' || !error.message.includes('finds no GPU')) return error;
  const message =
    'MLX finds no GPU here, so there is none to check, and nothing else is to be done: --executor cpu serves.';
  return new StompError('EXECUTOR_UNAVAILABLE', message, { cause: error });
}

/** In Markdown. Pure but for what it says of the machine. */
export function gpuReport(checks: readonly NativeKernelCheck[]): string {
  const machine = `stomp-serve ${packageVersion()}, ${process.platform}-${process.arch}, ${cpus()[0]?.model ?? 'unknown processor'}`;
  if (checks.length === 0)
    return `${machine}\n\nThis GPU has no kernels of stomp-serve's own: MLX's operations are used.`;
  const rows = checks.map(
    ({ name, failure, difference, microseconds }) =>
      `| ${name} | ${failure === '' ? 'ok' : failure.replace(/[|\n]/g, ' ')} | ${difference.toExponential(1)} | ${microseconds.toFixed(0)} |`,
  );
  const failed = checks.filter(({ failure }) => failure !== '').length;
  return [
    machine,
    '',
    '| shape | result | largest difference | us a layer |',
    '| --- | --- | ---: | ---: |',
    ...rows,
    '',
    failed === 0
      ? `All ${checks.length} agree with MLX's own operations.`
      : `${failed} of ${checks.length} do not: models of such shapes run on MLX's own operations instead. Please report this table.`,
  ].join('\n');
}
