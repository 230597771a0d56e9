/** `stomp-serve context`: what agents work on and what they write down about it, for people and scripts. */
import type { Command } from '../command.js';
import { runContext } from '../context/run.js';

export const context = {
  name: 'context',
  usage: 'VERB',
  summary: 'Sessions, current projects and progress logs of agents',
  arguments: [1, Number.POSITIVE_INFINITY],
  run: ({ positionals, terminal }) => runContext(positionals, terminal),
} satisfies Command;
