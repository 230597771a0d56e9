// Runs the trials: sides take turns, each trial is a process of its own, and a variant that is behind in all of a
// group's figures after its first trial is not run on that group again.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureCeilings } from './ceilings.mjs';
import { results } from './child.mjs';
import { machineSide } from './figures.mjs';
import { better, median } from './statistics.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const label = (variant) => (variant.name ? `${variant.side} ${variant.name}` : variant.side);

/** How far behind, in its first trial, a variant is given up. */
const hopeless = 1.15;

/** No phase of a trial takes so long, unless its threads wait for a processor that others use. */
const patienceMs = 300_000;

/** @typedef {import('./csv.mjs').Sample} Sample */

/** Whether `at` is no more than a little behind another variant's sample. */
function keepsUp({ unit, value }, at) {
  const reach = unit === 'ms' ? value * hopeless : value / hopeless;
  return !better(unit, reach, at);
}

/**
 * Whether a variant is the best of its side, or near it, in one of the group's figures at least.
 * @param {Sample[]} samples
 * @param {{ side: string, name: string }} variant
 * @param {string} group
 */
export function worthMore(samples, variant, group) {
  const all = samples.filter((s) => s.group === group && s.side === variant.side);
  const own = all.filter((s) => s.variant === variant.name);
  return own.some(({ name }) => {
    const at = median(own.filter((s) => s.name === name).map((s) => s.value));
    return all.filter((s) => s.name === name && s.variant !== variant.name).every((s) => keepsUp(s, at));
  });
}

/** All trials to come, in order; later ones may turn out not to be needed. */
export function schedule(groups, variants, trials) {
  const takesPart = (variant, group) => !variant.groups || variant.groups.includes(group.name);
  return Array.from({ length: trials }, (_, i) => i + 1).flatMap((trial) =>
    groups
      .filter(({ maxTrials }) => trial <= maxTrials)
      .flatMap((group) =>
        variants.filter((variant) => takesPart(variant, group)).map((variant) => ({ trial, group, variant })),
      ),
  );
}

async function runTrial({ group, variant }, { model, threads, scratch }) {
  const folder = mkdtempSync(join(scratch, 'trial-'));
  const found = [];
  try {
    for (const phase of [group.name, group.next].filter(Boolean)) {
      const task = {
        module: variant.module,
        group: phase,
        model,
        threads,
        folder: join(folder, 'agents/'),
        options: variant.options,
        ...(variant.agents ? { agents: variant.agents } : {}),
      };
      mkdirSync(task.folder, { recursive: true });
      const args = [join(here, 'trial.mjs'), JSON.stringify(task)];
      found.push(
        ...(await results(process.execPath, args, { cwd: here, env: variant.env, timeoutMs: patienceMs })),
      );
    }
  } catch (error) {
    throw new Error(`${label(variant)}, ${group.name}: ${error.message}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return found;
}

const kind = ({ group, variant }) => `${group.name} ${variant.side}`;

/** Minutes left, from how long trials of the same kind took, or of any kind. */
function minutesLeft(rest, took) {
  const all = [...took.values()].flat();
  if (all.length === 0) return '';
  const usual = median(all);
  const seconds = rest.reduce((sum, next) => sum + median(took.get(kind(next)) ?? [usual]), 0);
  return `, about ${Math.max(1, Math.round(seconds / 60))} min left`;
}

/** One trial's samples; a rival that fails is left out and said so, a failure of ours ends the run. */
async function attempt(item, settings, failures) {
  const { trial, group, variant } = item;
  try {
    const lines = await runTrial(item, settings);
    return lines.map((line) => ({
      ...line,
      side: variant.side,
      variant: variant.name,
      group: group.name,
      trial,
    }));
  } catch (error) {
    if (variant.side.startsWith('stomp-serve') || settings.ended()) throw error;
    failures.push(error.message);
    process.stderr.write(`left out: ${error.message}\n`);
    return [];
  }
}

/** What the machine can do, as it is at the beginning of a trial. */
async function ceilings(trial, { threads, weightsBytes }) {
  process.stderr.write(`trial ${trial}: what the machine can do at most\n`);
  const lines = await measureCeilings(threads, weightsBytes);
  return lines.map((line) => ({ ...line, group: 'ceilings', side: machineSide, variant: '', trial }));
}

/**
 * @param {{ model: string, weightsBytes: number, threads: number, scratch: string, ended: () => boolean }} settings
 * @returns {Promise<{ samples: Sample[], failures: string[] }>}
 */
export async function runCampaign(groups, variants, trials, settings) {
  const list = schedule(groups, variants, trials);
  const samples = [];
  const failures = [];
  const took = new Map();
  const wanted = ({ trial, variant, group }) => trial === 1 || worthMore(samples, variant, group.name);
  for (const [i, item] of list.entries()) {
    if (item.trial !== list[i - 1]?.trial) samples.push(...(await ceilings(item.trial, settings)));
    if (!wanted(item)) continue;
    const left = minutesLeft(list.slice(i).filter(wanted), took);
    const what = `trial ${item.trial} of ${trials}: ${item.group.name}, ${label(item.variant)}`;
    process.stderr.write(`[${i + 1}/${list.length}${left}] ${what}\n`);
    const start = performance.now();
    samples.push(...(await attempt(item, settings, failures)));
    const key = kind(item);
    took.set(key, [...(took.get(key) ?? []), (performance.now() - start) / 1e3]);
  }
  return { samples, failures };
}
