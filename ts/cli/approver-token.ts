/**
 * The token of the person who opens gates, for servers without API keys. It is made anew by every server, and lies in a
 * file that nobody else on the machine can read for as long as the server runs.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Settings, TOKEN_VARIABLE } from '../config/index.js';
import { StompError } from '../errors.js';
import { isPostgres } from '../storage/open.js';

const tokenBytes = 32;
const fileName = 'approver-token';
const mostBytes = 1024;

export function newApproverToken(): string {
  return randomBytes(tokenBytes).toString('base64url');
}

/** Where a server keeps what is its own: beside its database, or in the home folder where that is elsewhere. */
export function stateFolder({ database }: Pick<Settings, 'database'>): string {
  return isPostgres(database) ? join(homedir(), '.stomp-serve') : dirname(resolve(database));
}

export function approverTokenPath(settings: Pick<Settings, 'database'>): string {
  return join(stateFolder(settings), fileName);
}

/** A token in its file. */
export interface KeptToken {
  readonly path: string;
  /** Removes the file, unless another server has put its own there. */
  remove(): Promise<void>;
}

/**
 * REQUIRES: the server listens already, so that one that cannot start takes nothing away from one that runs.
 * @throws StompError CONFIG_INVALID when the folder takes no file
 */
export async function keepApproverToken(folder: string, token: string): Promise<KeptToken> {
  const path = join(folder, fileName);
  const fresh = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeNew(fresh, `${token}\n`);
    await rename(fresh, path);
  } catch (cause) {
    // Where not even that can be looked for, there is nothing to remove.
    await rm(fresh, { force: true }).catch(() => undefined);
    const message = `The approver token cannot be kept in ${path} (${codeOf(cause)}); see --database.`;
    throw new StompError('CONFIG_INVALID', message, { cause, fields: { field: 'database', value: path } });
  }
  return {
    path,
    remove: async () => {
      if ((await tokenIn(path)) === token) await rm(path, { force: true });
    },
  };
}

/** Never open to others, not even for a moment. */
async function writeNew(path: string, text: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx', 0o600);
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file?.close();
  }
}

async function tokenIn(path: string): Promise<string | undefined> {
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
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly settings: Pick<Settings, 'database'>;
}

/**
 * From the file that is named, the environment, or the folder of the server that runs with these settings.
 * @returns undefined where there is none
 * @throws StompError CONFIG_INVALID for a file that was named and cannot be read
 */
export async function findApproverToken({
  file,
  environment,
  settings,
}: TokenSource): Promise<string | undefined> {
  if (file === undefined && environment[TOKEN_VARIABLE]) return environment[TOKEN_VARIABLE];
  const path = file ?? approverTokenPath(settings);
  let token: string | undefined;
  try {
    token = await tokenIn(path);
  } catch (cause) {
    throw unreadable(path, codeOf(cause), cause);
  }
  if (token) return token;
  if (file === undefined) return undefined;
  throw unreadable(path, token === undefined ? 'it is not there' : 'it is empty');
}

function unreadable(path: string, why: string, cause?: unknown): StompError {
  return new StompError('CONFIG_INVALID', `There is no approver token to be read from ${path}: ${why}.`, {
    cause,
    fields: { field: 'approver-token-file', value: path },
  });
}

function codeOf(error: unknown): string {
  return String((error as NodeJS.ErrnoException).code ?? error);
}
