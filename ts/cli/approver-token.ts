/**
 * The token of the person who opens gates, for servers without API keys: where it lies, and who finds it there. Servers
 * make it in `shared-token.ts`.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Settings, TOKEN_VARIABLE } from '../config/index.js';
import { StompError } from '../errors.js';
import { isPostgres } from '../storage/open.js';

const fileName = 'approver-token';
const mostBytes = 1024;

/** Where a server keeps what is its own: beside its database, or in the home folder where that is elsewhere. */
export function stateFolder({ database }: Pick<Settings, 'database'>): string {
  return isPostgres(database) ? join(homedir(), '.stomp-serve') : dirname(resolve(database));
}

export function approverTokenPath(settings: Pick<Settings, 'database'>): string {
  return approverTokenFile(stateFolder(settings));
}

export function approverTokenFile(folder: string): string {
  return join(folder, fileName);
}

/** What of a server's state opens gates: agents do not get to see it. */
export function approverSecrets(settings: Pick<Settings, 'database'>): string[] {
  const path = approverTokenPath(settings);
  return [path, marksFolder(path)];
}

/** Where servers that run with the token of a file say so. */
export function marksFolder(path: string): string {
  return `${path}.servers`;
}

/**
 * @returns undefined where there is no file
 * @throws what the file system does
 */
export async function tokenIn(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error;
    return undefined;
  });
  return text?.slice(0, mostBytes).trim();
}

/** What somebody who is to decide can name. */
export interface TokenSource {
  /** `--approver-token-file`. */
  readonly file?: string | undefined;
  /** The key of a file that was named. */
  readonly key?: { readonly onCommandLine: boolean; read(): Promise<string | undefined> } | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly settings: Pick<Settings, 'database'>;
}

/**
 * What is named comes before what is found in the folder of the server that runs with these settings; what is named on
 * the command line before the rest.
 * @returns undefined where there is none
 * @throws StompError CONFIG_INVALID for a file that was named and cannot be read
 */
export async function findApproverToken(source: TokenSource): Promise<string | undefined> {
  const { file, key, environment, settings } = source;
  if (file !== undefined) return namedToken(file);
  if (key?.onCommandLine) return key.read();
  return environment[TOKEN_VARIABLE] || (await key?.read()) || readToken(approverTokenPath(settings));
}

async function namedToken(path: string): Promise<string> {
  const token = await readToken(path);
  if (token) return token;
  throw unreadable(path, token === undefined ? 'it is not there' : 'it is empty');
}

async function readToken(path: string): Promise<string | undefined> {
  try {
    return await tokenIn(path);
  } catch (cause) {
    throw unreadable(path, codeOf(cause), cause);
  }
}

function unreadable(path: string, why: string, cause?: unknown): StompError {
  const message =
    `There is no approver token to be read from ${path}: ${why}. ` +
    `Name its file with --approver-token-file, or set ${TOKEN_VARIABLE}.`;
  return new StompError('CONFIG_INVALID', message, {
    cause,
    fields: { field: 'approver-token-file', value: path },
  });
}

export function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code ?? error);
}
