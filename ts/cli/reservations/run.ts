/** Runs a command about symbols and prints what it gives. */
import {
  AGENT_VARIABLE,
  parseArguments,
  type ReservationCommand,
  type Resolved,
  resolveSettings,
} from '../../config/index.js';
import { StompError, toStompError } from '../../errors.js';
import type { Reservations } from '../../reservations/index.js';
import { reservationTools } from '../../reservations/tools/reservation-tools.js';
import { mergeToWire } from '../../reservations/wire.js';
import type { AnyCaller } from '../../tools/tool.js';
import { Toolbox, toolErrorBody } from '../../tools/toolbox.js';
import { packageVersion } from '../../version.js';
import { openMaasl } from '../open-guard.js';
import { openReservations } from '../open-reservations.js';
import { ProgressBar } from '../progress.js';
import { plain } from '../table.js';
import { print, say, type Terminal } from '../terminal.js';
import { verbHelp } from '../verbs/help.js';
import { type Reading, readVerb } from '../verbs/read.js';
import { reservationVerbs } from './verbs.js';

type Result = Readonly<Record<string, unknown>>;

const done = 0;
const failed = 1;
/** As a shell tells the end by a signal. */
const exitBySignal = { SIGINT: 130, SIGTERM: 143 } as const;
const exitCodes: Readonly<Partial<Record<StompError['code'], number>>> = {
  NOT_A_REPOSITORY: 2,
  RESERVATION_CONFLICT: 3,
};

const acting: ReadonlySet<string> = new Set(['reserve', 'intent', 'release', 'renew', 'await']);

/**
 * @param args the command line from the command's name on
 * @returns the exit code; never rejects
 */
export async function runReservations(args: readonly string[], terminal: Terminal): Promise<number> {
  const cancel = new AbortController();
  let interrupted: number | undefined;
  const stop = (signal: keyof typeof exitBySignal): void => {
    interrupted = exitBySignal[signal];
    cancel.abort();
  };
  // A second one ends the process at once.
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const reading = readVerb(reservationVerbs, args);
    if (reading.help || reading.version) {
      print(terminal, reading.help ? verbHelp(reservationVerbs, reading.verb) : packageVersion());
      return done;
    }
    const result = await resultOf(reading, terminal, cancel.signal);
    tellWarnings(result, terminal);
    print(terminal, reading.json ? JSON.stringify(result, null, 2) : reading.verb.view(result));
    return done;
  } catch (caught) {
    return interrupted ?? told(toStompError(caught), args.includes('--json'), terminal);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function told(error: StompError, json: boolean, terminal: Terminal): number {
  // What others have written, in records and in the repository, may hold anything.
  say(terminal, json ? JSON.stringify(toolErrorBody(error)) : plain(`stomp-serve: ${error.message}`));
  if (error.code === 'GENERATION_FAILED' && error.cause instanceof Error && !json)
    say(terminal, String(error.cause.stack));
  return exitCodes[error.code] ?? failed;
}

/** They are part of the JSON, too; but whoever reads only that may not look. */
function tellWarnings({ warnings = [] }: Result, terminal: Terminal): void {
  for (const { subject, reason } of warnings as readonly { subject: string; reason: string }[])
    say(terminal, plain(`stomp-serve: ${subject}: ${reason}`));
}

async function resultOf(reading: Reading, terminal: Terminal, signal: AbortSignal): Promise<Result> {
  const command = reading.verb.words as ReservationCommand;
  const { flags } = parseArguments(reading.settings, command);
  const resolved = resolveSettings({ command, flags });
  for (const warning of resolved.warnings) say(terminal, `stomp-serve: ${warning}`);
  const args = withAgent(command, reading.args);
  return withReservations(resolved, command, args, async (reservations) => {
    const progress = new ProgressBar(terminal.stderr);
    const onProgress = (read: number, total: number): void =>
      progress.update('Reading the code', read / total, `${read} of ${total} files`);
    const call = { signal, ...(terminal.stderr.isTTY ? { onProgress } : {}) };
    try {
      if (command === 'plan-merge') return await planMerge(reservations, args, call);
      return await callTool(reservations, reading, args, call, terminal);
    } finally {
      progress.done();
    }
  });
}

type CodeCall = NonNullable<Parameters<Reservations['forecast']>[0]>;

async function callTool(
  reservations: Reservations,
  { verb }: Reading,
  args: Result,
  { signal, onProgress }: CodeCall,
  terminal: Terminal,
): Promise<Result> {
  const tools = new Toolbox([reservationTools(reservations, { onProgress })], {
    onFault: ({ error, correlationId }) =>
      say(terminal, `${correlationId}: ${String((error as Error).stack ?? error)}`),
  });
  const caller: AnyCaller = signal ? { signal } : undefined;
  return (await tools.call(verb.tool ?? '', args, caller)) as Result;
}

/** Only here may it write: a server's folders are not its clients'. */
async function planMerge(reservations: Reservations, args: Result, call: CodeCall): Promise<Result> {
  const { ours, theirs, base, out, content } = args as Record<string, string | undefined>;
  const withMarkers = args['with-markers'] === true;
  if (withMarkers && out === undefined)
    throw wrong('--with-markers', '--with-markers is about what --out writes: name a folder.');
  const question = { ours: ours ?? '', theirs: theirs ?? '', base, out, withMarkers };
  return mergeToWire(await reservations.planMerge(question, call), Boolean(content));
}

/** @throws StompError CONFIG_INVALID where nobody says for whom it is done */
function withAgent(command: ReservationCommand, args: Result): Result {
  if (!acting.has(command) || args['run_id'] !== undefined) return args;
  const agent = process.env[AGENT_VARIABLE];
  if (agent) return { ...args, run_id: agent };
  if (command === 'await') return args;
  throw wrong(
    '--run-id',
    `--run-id is missing: say for which agent it is done, there or with ${AGENT_VARIABLE}.`,
  );
}

function wrong(field: string, message: string): StompError {
  return new StompError('CONFIG_INVALID', message, { fields: { field } });
}

/** The guard's database is opened, and made, only where leases are taken or given back. */
async function withReservations(
  resolved: Resolved,
  command: ReservationCommand,
  args: Result,
  use: (reservations: Reservations) => Promise<Result>,
): Promise<Result> {
  const folder = process.cwd();
  const plain = await openReservations(resolved.settings, folder);
  try {
    if (!(await needsGuard(plain, command, args))) return await use(plain);
  } finally {
    await plain.close();
  }
  const maasl = await openMaasl(resolved);
  try {
    const locking = await openReservations(resolved.settings, folder, maasl);
    try {
      return await use(locking);
    } finally {
      await locking.close();
    }
  } finally {
    await maasl.close();
  }
}

async function needsGuard(
  reservations: Reservations,
  command: ReservationCommand,
  args: Result,
): Promise<boolean> {
  if (command === 'reserve') return args['lock'] === true;
  if (command !== 'release' && command !== 'renew') return false;
  const { reservations: all } = await reservations.list({ all: true });
  return all.some(({ reservationId, leases }) => reservationId === args['reservation_id'] && leases);
}
