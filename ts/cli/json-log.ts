/** Log lines as JSON, as the server writes them: for commands that have no server. */
import type { Settings } from '../config/index.js';
import type { Output } from './terminal.js';

type Level = Exclude<Settings['logLevel'], 'silent'>;

/** As log tools know them. */
const severity: Readonly<Record<Settings['logLevel'], number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  silent: Number.POSITIVE_INFINITY,
};

export type Log = (level: Level, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** @param least severe level that is written */
export function jsonLog(least: Settings['logLevel'], output: Output): Log {
  return (level, msg, fields = {}) => {
    if (severity[level] < severity[least]) return;
    output.write(`${JSON.stringify({ level: severity[level], time: Date.now(), ...fields, msg })}\n`);
  };
}

/** An error with its stack and what lay below it. */
export function errorFields(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof Error)) return { err: { message: String(error) } };
  const { name, message, stack, cause } = error;
  return {
    err: { type: name, message, stack, ...(cause === undefined ? {} : { cause: errorFields(cause).err }) },
  };
}
