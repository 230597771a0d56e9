/**
 * One approver token for all servers that keep theirs in one folder, since whoever may read it may read it for all of
 * them. A server that starts takes the token of one that runs, and makes a new one where none does. Each says in a
 * mark of its own that it runs; the last to leave removes the file.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { StompError } from '../errors.js';
import { isAlive } from '../process-alive.js';
import { approverTokenFile, codeOf, marksFolder, tokenIn } from './approver-token.js';

const tokenBytes = 32;
const tokenForm = /^[\w-]{43}$/;
const markName = /^\d{1,10}\.[0-9a-f]{8}$/;
const longestPauseMs = 20;

/** Marks that this process has made: its number alone does not say so, since the dead may have had it. */
const here = new Set<string>();

/** A token that a server has taken. */
export interface SharedToken {
  readonly token: string;
  /** The file that it is kept in. */
  readonly path: string;
  /**
   * Puts it in its file.
   * REQUIRES: the server has started, so that one that cannot start leaves the file as it is.
   * @throws StompError CONFIG_INVALID when the folder takes no file
   */
  keep(): Promise<void>;
  /** Removes the file, unless another server runs with it or has put its own there. May be called again. */
  leave(): Promise<void>;
}

export function newApproverToken(): string {
  return randomBytes(tokenBytes).toString('base64url');
}

/**
 * @param folder made when it is not there
 * @throws StompError CONFIG_INVALID when the folder takes no file
 */
export function takeApproverToken(folder: string): Promise<SharedToken> {
  const path = approverTokenFile(folder);
  return writing(path, async () => {
    await mkdir(marksFolder(path), { recursive: true, mode: 0o700 });
    for (;;) {
      const taken = await tryToTake(path);
      if (taken) return taken;
      // Not in step with whoever tries at the same time.
      await pause(Math.random() * longestPauseMs);
    }
  });
}

/**
 * Everybody makes a mark before looking for those of others, so of two that begin at once at least one sees the other,
 * and gives way.
 */
async function tryToTake(path: string): Promise<SharedToken | undefined> {
  const folder = marksFolder(path);
  const [shared] = await tokensInUse(folder);
  const token = shared ?? newApproverToken();
  const name = `${process.pid}.${randomBytes(4).toString('hex')}`;
  const mark = join(folder, name);
  here.add(mark);
  await writeNew(mark, token);
  if ((await tokensInUse(folder)).some((other) => other !== token)) {
    await removeMark(mark);
    return undefined;
  }
  return { token, path, keep: () => keep(path, name, token), leave: () => leave(path, mark, token) };
}

/** Of servers that run, one for each; removes the marks of those that are gone. */
async function tokensInUse(folder: string): Promise<string[]> {
  const marks = (await readdir(folder)).filter((name) => markName.test(name));
  const tokens = await Promise.all(marks.map((name) => tokenInUse(folder, name)));
  return tokens.filter((token) => token !== undefined);
}

async function tokenInUse(folder: string, name: string): Promise<string | undefined> {
  const mark = join(folder, name);
  const pid = Number.parseInt(name, 10);
  if (pid === process.pid ? here.has(mark) : isAlive(pid)) {
    const token = await tokenIn(mark);
    return tokenForm.test(token ?? '') ? token : undefined;
  }
  await rm(mark, { force: true });
  return undefined;
}

function keep(path: string, name: string, token: string): Promise<void> {
  const fresh = `${path}.${name}`;
  return writing(path, async () => {
    try {
      await writeNew(fresh, token);
      await rename(fresh, path);
    } finally {
      // Where not even that can be looked for, there is nothing to remove.
      await rm(fresh, { force: true }).catch(() => undefined);
    }
  });
}

async function leave(path: string, mark: string, token: string): Promise<void> {
  await removeMark(mark);
  if ((await tokensInUse(marksFolder(path))).includes(token)) return;
  if ((await tokenIn(path)) === token) await rm(path, { force: true });
}

async function removeMark(mark: string): Promise<void> {
  await rm(mark, { force: true });
  here.delete(mark);
}

/** Never open to others, not even for a moment. */
async function writeNew(path: string, token: string): Promise<void> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, 'wx', 0o600);
    await file.writeFile(`${token}\n`);
    await file.sync();
  } finally {
    await file?.close();
  }
}

async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const message = `The approver token cannot be kept in ${path} (${codeOf(cause)}); see --database.`;
    throw new StompError('CONFIG_INVALID', message, { cause, fields: { field: 'database', value: path } });
  }
}
