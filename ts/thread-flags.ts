/** Flags for threads of ours. */

/**
 * Undefined: Node's flags of this thread, which may not be spelt out, as those of the process (`--expose-gc`) are refused
 * then. None for a program that stands on the command line: no thread starts with its flags.
 */
export function threadFlags(): string[] | undefined {
  return process.execArgv.some((flag) => flag.startsWith('--input-type')) ? [] : undefined;
}
