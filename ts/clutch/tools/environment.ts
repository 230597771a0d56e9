/** What processes of a run inherit: what programs need to work at all, and no secret. Pure. */
import { isSecretName } from '../audit/redact.js';

const inherited: readonly RegExp[] = [
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|TERM|TZ|TMPDIR|TEMP|TMP)$/i,
  /^LC_[A-Z]+$/,
  // Without these no program starts on Windows.
  /^(SystemRoot|SystemDrive|windir|ComSpec|PATHEXT|USERPROFILE|APPDATA|LOCALAPPDATA|ProgramFiles)$/i,
];

export type Environment = Readonly<Record<string, string | undefined>>;

/** @param more names that the user adds; those of secrets are left out all the same */
export function processEnvironment(all: Environment, more: readonly string[] = []): Record<string, string> {
  const wanted = (name: string) => inherited.some((rule) => rule.test(name)) || more.includes(name);
  const found = Object.entries(all).filter(([name, value]) => {
    return value !== undefined && wanted(name) && !isSecretName(name);
  });
  return Object.fromEntries(found) as Record<string, string>;
}
