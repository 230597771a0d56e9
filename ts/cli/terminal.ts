/** What a command writes to, and how it is asked to stop. Passed in, so that tests can stand in for it. */

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

export interface Terminal {
  readonly stdout: Output;
  readonly stderr: Output;
}

/** A line on standard output. */
export function print(terminal: Terminal, line = ''): void {
  terminal.stdout.write(`${line}\n`);
}

/** A line for a person, beside the output proper. */
export function say(terminal: Terminal, line: string): void {
  terminal.stderr.write(`${line}\n`);
}
