/** Names of calls. */
import { createHash, randomBytes } from 'node:crypto';

export function newCallId(): string {
  return `call_${randomBytes(12).toString('hex')}`;
}

/** Nine letters and digits, which is all that Mistral's templates take; the same for the same id. */
export function shortCallId(id: string): string {
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id;
  return createHash('sha256').update(id).digest('hex').slice(0, 9);
}
