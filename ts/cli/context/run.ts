/** Runs a verb of `stomp-serve context` and prints what it gives. */
import { parseArguments, type Resolved, resolveSettings } from '../../config/index.js';
import type { AgentContextManager } from '../../context/index.js';
import { contextTools } from '../../context/index.js';
import { type StompError, toStompError } from '../../errors.js';
import { Toolbox, toolErrorBody } from '../../tools/toolbox.js';
import { packageVersion } from '../../version.js';
import { openContext } from '../open-context.js';
import { openMaasl, requireDatabase, rootsOf } from '../open-guard.js';
import { print, say, type Terminal } from '../terminal.js';
import { verbHelp, verbsHelp } from '../verbs/help.js';
import { type Reading, readVerb } from '../verbs/read.js';
import { migrate, type Result } from './migrate.js';
import { contextVerbs, onlyReads } from './verbs.js';

const done = 0;
const failed = 1;
const misused = 2;
/** What the caller has said is wrong, and not what there is. */
const usageCodes: readonly string[] = ['CONFIG_INVALID', 'INVALID_REQUEST', 'UNSUPPORTED_FIELD'];

/** What they look for must not be mended before. */
const watching: readonly string[] = ['verify', 'doctor'];

/** @returns the exit code; never rejects. */
export async function runContext(given: readonly string[], terminal: Terminal): Promise<number> {
  const args = given[0] === 'help' ? [...given.slice(1), '--help'] : given;
  if (asksForAll(args)) {
    print(terminal, verbsHelp(contextVerbs));
    return done;
  }
  try {
    const reading = readVerb(contextVerbs, args);
    if (reading.help || reading.version) {
      print(terminal, reading.help ? verbHelp(contextVerbs, reading.verb) : packageVersion());
      return done;
    }
    const result = await resultOf(reading, terminal);
    print(terminal, reading.json ? JSON.stringify(result, null, 2) : reading.verb.view(result));
    return result['ok'] === false ? failed : done;
  } catch (caught) {
    return told(toStompError(caught), args.includes('--json'), terminal);
  }
}

/** `--help`, and `project --help`: that is only the first word of several verbs. */
function asksForAll(args: readonly string[]): boolean {
  const rest = contextVerbs.verbs.some(({ words }) => words.startsWith(`${args[0]} `)) ? args.slice(1) : args;
  return rest[0] === '--help' || rest[0] === '-h';
}

function told(error: StompError, json: boolean, terminal: Terminal): number {
  say(terminal, json ? JSON.stringify(toolErrorBody(error)) : `stomp-serve: ${error.message}`);
  if (error.code === 'GENERATION_FAILED' && error.cause instanceof Error && !json)
    say(terminal, String(error.cause.stack));
  return usageCodes.includes(error.code) ? misused : failed;
}

async function resultOf({ verb, args, settings }: Reading, terminal: Terminal): Promise<Result> {
  const { flags } = parseArguments(settings, 'context');
  const resolved = resolveSettings({ command: 'context', flags });
  for (const warning of resolved.warnings) say(terminal, `stomp-serve: ${warning}`);
  if (verb.words === 'migrate') return migrate(args, resolved, terminal);
  if (onlyReads(verb, args)) await requireDatabase(resolved);
  return withContext(resolved, terminal, !watching.includes(verb.words), async (manager) => {
    if (verb.words === 'doctor') return { ...(await manager.doctor({ repair: args['repair'] === true })) };
    const tools = new Toolbox([contextTools(manager)], {
      onFault: ({ error, correlationId }) =>
        say(terminal, `${correlationId}: ${String((error as Error).stack ?? error)}`),
    });
    return (await tools.call(verb.tool ?? '', args)) as Result;
  });
}

async function withContext(
  resolved: Resolved,
  terminal: Terminal,
  updateStateFile: boolean,
  use: (manager: AgentContextManager) => Promise<Result>,
): Promise<Result> {
  const roots = await rootsOf(resolved);
  const maasl = await openMaasl(resolved);
  try {
    const manager = await openContext(maasl, resolved.settings, roots, {
      cleanUpMs: 0,
      // What a killed process has left is told by an audit, and mended by whoever writes or repairs.
      recoverLogs: false,
      updateStateFile,
      onProblem: (problem) => say(terminal, `stomp-serve: ${problem.message}`),
    });
    try {
      return await use(manager);
    } finally {
      await manager.close();
    }
  } finally {
    await maasl.close();
  }
}
