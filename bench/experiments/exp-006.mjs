// What does it cost to bring a sequence's blocks together?
import { mlxLibraryPath } from '../../dist/native.js';
import { gatherFigures, nativeFigures } from '../micro/native.mjs';
import { median } from '../statistics.mjs';
import { indices, timeOf } from './engines.mjs';
import { figure, judged } from './verdict.mjs';

const tokens = 8192;
const blockTokens = 64;
const mostMs = 5;
/** Of a model of 12 billion weights, whose layers all see everything; and the default one's. */
const large = { layers: 48, kvHeads: 8, headDim: 256 };
const ours = { layers: 30, kvHeads: 3, headDim: 64 };

export const about = {
  question: 'What does it cost to bring the blocks of 8K tokens in 48 layers together?',
  method:
    'on the CPU executor nothing is brought together: the time to find the blocks, which is one look-up of the prefix index ' +
    'for all layers, and what a gather would move at the rate at which this machine copies; on the MLX executor its own ' +
    "gather of keys and values, at the default model's shape, where it is built",
  target: `under ${mostMs} ms`,
};

/** Keys and values of 16 bits. */
export const bytesOf = ({ layers, kvHeads, headDim }, count) => count * layers * 2 * kvHeads * headDim * 2;

/** Bytes a second of copies larger than the caches, on one thread. */
async function copyRate() {
  const bytes = 256 * 2 ** 20;
  const from = Buffer.alloc(bytes, 1);
  const to = Buffer.alloc(bytes, 2);
  const times = [];
  for (const _ of indices(7)) times.push(await timeOf(() => from.copy(to)));
  return (bytes / median(times)) * 1e3;
}

const measured = (found, name) => {
  const entry = found.find((one) => one.name === name);
  if (entry === undefined) throw new Error(`${name} is no longer measured`);
  return entry.value;
};

async function cpuFigures() {
  const lookUp = measured(await nativeFigures(), 'prefix index: look up, per block');
  const rate = await copyRate();
  const mb = (bytes) => bytes / 2 ** 20;
  const copyMs = (shape) => (bytesOf(shape, tokens) / rate) * 1e3;
  return [
    figure('cpu: find the blocks', (lookUp * tokens) / blockTokens / 1e6, 'ms'),
    figure('cpu: moved', 0, 'bytes'),
    figure('a gather at 48 layers, 8 heads of 256: would move', mb(bytesOf(large, tokens)), 'MB'),
    figure('this machine copies', rate / 1e9, 'GB/s'),
    figure('a gather at 48 layers: would take at that rate', copyMs(large), 'ms'),
    figure("a gather at the default model's shape: would take", copyMs(ours), 'ms'),
  ];
}

async function mlxFigures() {
  const found = await gatherFigures({ ...ours, tokens });
  return [
    figure("mlx: gather at the default model's shape", measured(found, 'mlx gather: all layers') / 1e6, 'ms'),
    figure('mlx: moved', measured(found, 'mlx gather: moved') / 2 ** 20, 'MB'),
  ];
}

export async function run() {
  const cpu = await cpuFigures();
  const mlx = mlxLibraryPath() === undefined ? [] : await mlxFigures();
  const over = [cpu[0], mlx[0]].filter((found) => found !== undefined && found.value >= mostMs);
  return judged(
    [...cpu, ...mlx],
    over.map(({ name, value }) => `${name} takes ${value.toFixed(1)} ms`),
  );
}
