/** What a subcommand is. */
import type { Command as CommandName, Resolved } from '../config/index.js';
import type { Terminal } from './terminal.js';

export interface Invocation extends Resolved {
  readonly positionals: readonly string[];
  readonly terminal: Terminal;
}

export interface Command {
  readonly name: CommandName;
  /** After the command's name: `FILE`. */
  readonly usage: string;
  readonly summary: string;
  /** Positional arguments: least and most. */
  readonly arguments: readonly [number, number];
  /** @returns the exit code. */
  run(invocation: Invocation): Promise<number>;
}

/** Loaded when it is asked for, so that `--help` loads nothing else. */
export type CommandLoader = () => Promise<Command>;
