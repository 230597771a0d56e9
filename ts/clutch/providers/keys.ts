/** Keys of providers. A key leaves this file only towards a client library: never in a message, a log or JSON. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { StompError } from '../../errors.js';

const shown = '[key]';

export class ApiKey {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** For a client library only. */
  reveal(): string {
    return this.#text;
  }

  /** Providers quote keys in their messages. */
  redact(text: string): string {
    return text.replaceAll(this.#text, shown).replaceAll(encodeURIComponent(this.#text), shown);
  }

  toString(): string {
    return shown;
  }

  toJSON(): string {
    return shown;
  }

  [inspect.custom](): string {
    return shown;
  }
}

export interface KeySource {
  readonly provider: string;
  /** Name of an environment variable. */
  readonly variable?: string | undefined;
  /** Path of a file that only its owner may read. Comes before the variable. */
  readonly file?: string | undefined;
}

/**
 * @returns undefined where no place for a key is named at all
 * @throws StompError PROVIDER_KEY_MISSING when there is none in the place that is named, or others could read it there
 */
export function readKey(source: KeySource, environment: NodeJS.ProcessEnv): ApiKey | undefined {
  const { provider, variable, file } = source;
  if (file !== undefined) return checked(readKeyFile(provider, file), provider, `the file ${file}`);
  if (variable === undefined) return undefined;
  const text = environment[variable] ?? '';
  if (text.trim() !== '') return checked(text, provider, `the variable ${variable}`);
  throw missing(provider, `Set ${variable}, or name a file with mode 600 in keyFile.`);
}

function readKeyFile(provider: string, file: string): string {
  let handle: number;
  try {
    handle = openSync(file, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw missing(provider, `The file ${file} cannot be read (${code}); write the key there, with mode 600.`);
  }
  try {
    const status = fstatSync(handle);
    if (!status.isFile()) throw missing(provider, `${file} is not a file.`);
    // Windows keeps no such bits.
    if (process.platform !== 'win32' && (status.mode & 0o077) !== 0) {
      throw missing(provider, `Others may read the file ${file}; take it from them with: chmod 600 ${file}`);
    }
    return readFileSync(handle, 'utf8');
  } finally {
    closeSync(handle);
  }
}

/** A character that no HTTP header may hold would make the client quote the key in its complaint. */
function checked(text: string, provider: string, place: string): ApiKey {
  const key = text.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return new ApiKey(key);
  throw missing(provider, `What stands in ${place} is no key; write one there, on one line and alone.`);
}

function missing(provider: string, remedy: string): StompError {
  return new StompError('PROVIDER_KEY_MISSING', `There is no key for ${provider}. ${remedy}`, {
    fields: { provider },
  });
}
