/** Runs checks one after the other, and says what they have found and done. */
import { checkBoolean, checkFields, checkObserver, checkSignal } from '../arguments.js';
import { StompError } from '../errors.js';
import type { Check, Finding } from './check.js';

/** What to do about what is found. */
export interface DoctorOptions {
  /** Mends what can be mended; otherwise nothing is changed. @default false */
  readonly repair?: boolean;
  /** Is told before each check. */
  readonly onProgress?: (progress: DoctorProgress) => void;
  /** Stops before the next check. */
  readonly signal?: AbortSignal;
}

/** Before each check. */
export interface DoctorProgress {
  readonly check: string;
  /** Its number, from 1. */
  readonly number: number;
  readonly total: number;
}

/** What was found, and what was done about it. */
export interface DoctorReport {
  /** All checks could be run, and there is no damage that is not repaired. */
  readonly ok: boolean;
  /** Names of the checks that were run. */
  readonly checks: readonly string[];
  readonly findings: readonly Finding[];
  /** How many of the findings were repaired. */
  readonly repaired: number;
  /** Checks that came to no end. */
  readonly failed: readonly FailedCheck[];
  /** The same in sentences, for people. */
  readonly summary: readonly string[];
}

/** A check that came to no end, and why. */
export interface FailedCheck {
  readonly check: string;
  readonly problem: string;
}

/** @throws StompError CANCELLED, INVALID_REQUEST, UNSUPPORTED_FIELD */
export async function runChecks(
  checks: readonly Check[],
  options: DoctorOptions = {},
): Promise<DoctorReport> {
  checkFields('options', options, ['repair', 'onProgress', 'signal']);
  const repair = checkBoolean('repair', options.repair, false);
  const onProgress = checkObserver('onProgress', options.onProgress);
  const signal = checkSignal('signal', options.signal);
  const findings: Finding[] = [];
  const failed: FailedCheck[] = [];
  for (const [i, check] of checks.entries()) {
    if (signal?.aborted) {
      const message = `The checks were stopped before "${check.name}"; what was repaired until then stays.`;
      throw new StompError('CANCELLED', message, { cause: signal.reason });
    }
    onProgress?.({ check: check.name, number: i + 1, total: checks.length });
    try {
      findings.push(...(await check.run(repair)));
    } catch (error) {
      // What is damaged may be in the way of one check; the others are wanted all the more.
      failed.push({ check: check.name, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return report(
    checks.map(({ name }) => name),
    findings,
    failed,
  );
}

function report(
  checks: readonly string[],
  findings: readonly Finding[],
  failed: readonly FailedCheck[],
): DoctorReport {
  const open = findings.filter(({ repair, harmless }) => repair === null && !harmless);
  const repaired = findings.filter(({ repair }) => repair !== null).length;
  return {
    ok: open.length === 0 && failed.length === 0,
    checks,
    findings,
    repaired,
    failed,
    summary: [
      ...findings.map(sentenceOf),
      ...failed.map(({ check, problem }) => `${check}: the check came to no end: ${problem}`),
      `${count(checks.length, 'check')}, ${count(findings.length, 'finding')}: ` +
        `${repaired} repaired, ${open.length} still to be repaired, ${count(failed.length, 'check')} failed.`,
    ],
  };
}

function sentenceOf({ check, subject, problem, repair, harmless }: Finding): string {
  const outcome = repair ?? (harmless ? 'That is no damage.' : 'Nothing was changed.');
  return `${check}: ${subject}: ${problem} ${outcome}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
