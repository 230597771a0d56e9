/** Runs a command about runs, at the server that runs. */
import { readFileSync } from 'node:fs';
import type { ApprovalWire } from '../../clutch/wire.js';
import { type ClutchCommand, parseArguments, resolveSettings } from '../../config/index.js';
import { StompError, toStompError } from '../../errors.js';
import { toolErrorBody } from '../../tools/toolbox.js';
import { packageVersion } from '../../version.js';
import { print, say, type Terminal } from '../terminal.js';
import { verbHelp } from '../verbs/help.js';
import { type Reading, readVerb } from '../verbs/read.js';
import { verifyFolder } from './audit.js';
import { ClutchClient } from './client.js';
import { followRun } from './follow-run.js';
import { clutchVerbs } from './verbs.js';
import { approvalView, printable } from './views.js';

const done = 0;
const failed = 1;
const misused = 2;
/** As many as a server gives at once. */
const mostListed = 1000;

type Args = Readonly<Record<string, unknown>>;

/**
 * @param given the command line from the command's name on
 * @returns the exit code; never rejects
 */
export async function runClutch(given: readonly string[], terminal: Terminal): Promise<number> {
  const asksForHelp = given[0] === 'audit' && /^(--help|-h)$/.test(given[1] ?? '');
  const args = asksForHelp ? ['audit', 'verify', '--help'] : given;
  try {
    const reading = readVerb(clutchVerbs, args);
    if (reading.help || reading.version) {
      print(terminal, reading.help ? verbHelp(clutchVerbs, reading.verb) : packageVersion());
      return done;
    }
    return await perform(reading, terminal);
  } catch (caught) {
    return told(toStompError(caught), args.includes('--json'), terminal);
  }
}

function told(error: StompError, json: boolean, terminal: Terminal): number {
  const text = json ? JSON.stringify(toolErrorBody(error)) : `stomp-serve: ${printable(error.message)}`;
  say(terminal, text);
  return error.code === 'CONFIG_INVALID' ? misused : failed;
}

async function perform(reading: Reading, terminal: Terminal): Promise<number> {
  const { verb, args, json } = reading;
  const command = verb.words.split(' ')[0] as ClutchCommand;
  const { flags } = parseArguments(reading.settings, command);
  const resolved = resolveSettings({ command, flags });
  for (const warning of resolved.warnings) say(terminal, `stomp-serve: ${warning}`);
  if (command === 'audit') return verifyFolder(String(args['folder']), resolved, json, terminal);
  const client = await ClutchClient.open(resolved, args['approver-token-file'] as string | undefined);
  if (command === 'run') return followRun(client, args, terminal);
  if (command === 'approvals') return list(client, args, json, terminal);
  const decided = await decide(client, command, args);
  print(terminal, json ? JSON.stringify(decided, undefined, 2) : approvalView(decided));
  return done;
}

async function list(client: ClutchClient, args: Args, json: boolean, terminal: Terminal): Promise<number> {
  const query = `limit=${mostListed}${args['all'] ? '' : '&status=pending'}`;
  const found = await client.json<{ data: ApprovalWire[] }>('GET', `/v1/approvals?${query}`);
  if (json) print(terminal, JSON.stringify(found, undefined, 2));
  else print(terminal, found.data.map(approvalView).join('\n\n') || 'Nothing waits.');
  if (found.data.length === mostListed)
    say(terminal, `There may be more: these are the first ${mostListed}.`);
  return done;
}

/** On the revision that was seen, or else the one that is there now. */
async function decide(
  client: ClutchClient,
  command: 'approve' | 'reject',
  args: Args,
): Promise<ApprovalWire> {
  const path = `/v1/approvals/${encodeURIComponent(String(args['id']))}`;
  const { revision: current, payload } = await client.json<ApprovalWire>('GET', path).catch(unknownApproval);
  const { revision = current } = args;
  const body =
    command === 'reject'
      ? { decision: 'reject', revision, reason: args['reason'] }
      : { decision: 'approve', revision, edits: editsOf(args, payload), remember: args['remember'] };
  return client.json('POST', `${path}/resolve`, body);
}

/** Says it as somebody at a command line can make use of it. */
function unknownApproval(error: unknown): never {
  if (!(error instanceof StompError) || error.code !== 'APPROVAL_NOT_FOUND') throw error;
  const message = 'There is no such approval. "stomp-serve approvals --all" lists those there are.';
  throw new StompError('APPROVAL_NOT_FOUND', message, { cause: error, fields: error.fields });
}

/** @throws StompError CONFIG_INVALID */
function editsOf(args: Args, payload: Args): Args | undefined {
  const fromFiles = pairsOf(args, 'edit-file').map(([name, path]) => [name, textOf(path)] as const);
  const texts = [...pairsOf(args, 'edit'), ...fromFiles];
  if (texts.length === 0) return undefined;
  return Object.fromEntries(texts.map(([name, text]) => [name, editedValue(name, text, payload[name])]));
}

/** @throws StompError CONFIG_INVALID for what is not KEY=VALUE */
function pairsOf(args: Args, flag: 'edit' | 'edit-file'): [string, string][] {
  const given = args[flag] ?? {};
  if (typeof given === 'object') return Object.entries(given as Record<string, string>);
  const what = flag === 'edit' ? 'script=ls' : 'script=./new.sh';
  const message = `--${flag}: ${JSON.stringify(given)} is not KEY=VALUE, as in --${flag} ${what}.`;
  throw new StompError('CONFIG_INVALID', message, { fields: { field: flag, value: given } });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new StompError('CONFIG_INVALID', `--edit-file: ${(cause as Error).message}.`, { cause });
  }
}

/** What is no text in the payload is JSON here. */
export function editedValue(name: string, text: string, before: unknown): unknown {
  if (typeof before === 'string' || before === null || before === undefined) return text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `--edit: ${name} is not a text, so that its value must be JSON, such as 5 or ["a"].`;
    throw new StompError('CONFIG_INVALID', message, { cause, fields: { field: 'edit', value: name } });
  }
}
