/** What the errors of the drivers mean: told by their codes, never by their words. */

// Addresses, sockets, and a server that starts, stops or is full.
const connectionFailure =
  /^(08...|57P0[1-5]|53300|ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)$/;
const deepestCause = 8;

/** `SQLITE_…`, an SQLSTATE, or what the system calls it. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** SQLite: another connection holds a lock. */
export function isLocked(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED)/.test(codeOf(error) ?? '');
}

/** PostgreSQL: the transaction could not be serialised or was in a deadlock, here or in what the error wraps. */
export function isCollision(error: unknown): boolean {
  let at = error;
  for (let depth = 0; depth < deepestCause && at !== undefined; depth++) {
    if (/^(40001|40P01)$/.test(codeOf(at) ?? '')) return true;
    at = (at as { cause?: unknown } | null)?.cause ?? undefined;
  }
  return false;
}

/** PostgreSQL: a lock was not to be had in the time that its settings allow. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === '55P03';
}

export function isConnectionFailure(error: unknown): boolean {
  return connectionFailure.test(codeOf(error) ?? '');
}

/** PostgreSQL: the server has answered, and what it was asked for is not done. */
export function isRefusal(error: unknown): boolean {
  const code = codeOf(error) ?? '';
  return /^[0-9A-Z]{5}$/.test(code) && !connectionFailure.test(code);
}
