/** From a command line to an exit code: finds the subcommand, reads its settings, reports its errors. */
import {
  CLUTCH_COMMANDS,
  type ClutchCommand,
  type Command as CommandName,
  optionsHelp,
  parseArguments,
  RESERVATION_COMMANDS,
  type ReservationCommand,
  resolveSettings,
  suggestion,
} from '../config/index.js';
import { StompError, toStompError } from '../errors.js';
import { packageVersion } from '../version.js';
import type { Command, CommandLoader } from './command.js';
import { print, say, type Terminal } from './terminal.js';

const EXIT_FAILURE = 1;
/** The command line or a setting is wrong. */
const EXIT_USAGE = 2;

type OwnCommand = Exclude<CommandName, ReservationCommand | ClutchCommand>;

const commands: Readonly<Record<OwnCommand, readonly [summary: string, load: CommandLoader]>> = {
  serve: [
    'Serve a model (what happens when no command is named)',
    async () => (await import('./commands/serve.js')).serve,
  ],
  mcp: [
    'Locks, guarded files and the context of agents for an MCP client, over standard input and output',
    async () => (await import('./commands/mcp.js')).mcp,
  ],
  demo: [
    'Show what agents with a cache of their own are good for',
    async () => (await import('./commands/demo.js')).demo,
  ],
  agents: [
    'List the agents of a running server, or those kept on disk',
    async () => (await import('./commands/agents.js')).agents,
  ],
  locks: [
    'Show who holds and who waits for what, live',
    async () => (await import('./commands/locks.js')).locks,
  ],
  context: [
    'Sessions, current projects and progress logs of agents',
    async () => (await import('./commands/context.js')).context,
  ],
  models: [
    'List the models that are known and those on this machine',
    async () => (await import('./commands/models.js')).models,
  ],
  keys: ['Make an API key', async () => (await import('./commands/keys.js')).keys],
  doctor: [
    'Check whether this machine has what it takes',
    async () => (await import('./commands/doctor.js')).doctor,
  ],
  setup: [
    'Bring the libraries of the MLX executor: setup mlx',
    async () => (await import('./commands/setup.js')).setup,
  ],
  bench: [
    'Measure how fast a model is on this machine',
    async () => (await import('./commands/bench.js')).bench,
  ],
  perplexity: [
    'Measure how well a model predicts a text',
    async () => (await import('./commands/perplexity.js')).perplexity,
  ],
  stress: [
    'Let agents in processes of their own fight over files, databases, graphs and docs',
    async () => (await import('./commands/stress.js')).stress,
  ],
};

/** @param args the command line without node and script. Never rejects. */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, terminal);
  } catch (caught) {
    const error = toStompError(caught);
    say(terminal, `stomp-serve: ${error.message}`);
    if (error.code === 'GENERATION_FAILED' && error.cause instanceof Error)
      say(terminal, String(error.cause.stack));
    return error.code === 'CONFIG_INVALID' ? EXIT_USAGE : EXIT_FAILURE;
  }
}

async function dispatch(given: readonly string[], terminal: Terminal): Promise<number> {
  const args = given[0] === 'help' ? [...given.slice(1), '--help'] : given;
  const [first = ''] = args;
  const code = await runVerb(first, args, terminal);
  if (code !== undefined) return code;
  const isNamed = first !== '' && !first.startsWith('-');
  const name = isNamed ? commandNamed(first) : 'serve';
  const { flags, positionals, help, version } = parseArguments(isNamed ? args.slice(1) : args, name);
  if (version) {
    print(terminal, packageVersion());
    return 0;
  }
  const command = await commands[name][1]();
  if (help) {
    print(terminal, isNamed ? commandHelp(command) : generalHelp());
    return 0;
  }
  checkCount(command, positionals);
  const resolved = resolveSettings({ command: name, flags });
  for (const warning of resolved.warnings) say(terminal, `stomp-serve: ${warning}`);
  return command.run({ ...resolved, positionals, terminal });
}

/** @returns undefined for what does not read its own command line */
async function runVerb(
  name: string,
  args: readonly string[],
  terminal: Terminal,
): Promise<number | undefined> {
  if (name === 'context') return (await import('./context/run.js')).runContext(args.slice(1), terminal);
  if (CLUTCH_COMMANDS.some((one) => one === name))
    return (await import('./clutch/run.js')).runClutch(args, terminal);
  if (RESERVATION_COMMANDS.some((one) => one === name))
    return (await import('./reservations/run.js')).runReservations(args, terminal);
  return undefined;
}

function commandNamed(name: string): OwnCommand {
  if (Object.hasOwn(commands, name)) return name as OwnCommand;
  const names = [...Object.keys(commands), ...CLUTCH_COMMANDS, ...RESERVATION_COMMANDS];
  throw new StompError(
    'CONFIG_INVALID',
    `"${name}" is not a command.${suggestion(name, names)} Commands: ${names.join(', ')}. See stomp-serve --help.`,
    { fields: { field: 'command', value: name, allowed: names.join(', ') } },
  );
}

function checkCount(command: Command, positionals: readonly string[]): void {
  const [least, most] = command.arguments;
  if (positionals.length >= least && positionals.length <= most) return;
  const extra = positionals[most];
  const problem = extra === undefined ? `${command.usage} is missing` : `"${extra}" is one argument too many`;
  throw new StompError('CONFIG_INVALID', `${problem}. Usage: ${usageOf(command)}`, {
    fields: { field: 'arguments', value: positionals.join(' '), allowed: command.usage },
  });
}

function usageOf(command: Command): string {
  return ['stomp-serve', command.name, command.usage, '[options]'].filter((word) => word !== '').join(' ');
}

function commandHelp(command: Command): string {
  return `Usage: ${usageOf(command)}\n\n${command.summary}.\n\nOptions:\n${optionsHelp(command.name)}`;
}

/** Told here, so that `--help` loads nothing else. */
const reservationSummaries: Readonly<Record<ReservationCommand, string>> = {
  reserve: 'Announce which symbols you will touch',
  intent: 'Say what exactly you will do with symbols',
  release: 'Give reserved symbols back',
  renew: 'Keep reserved symbols for longer',
  list: 'See who has announced what',
  await: 'Wait until symbols are free',
  forecast: 'See what will clash',
  impact: 'See who depends on symbols',
  shard: 'Share a repository out',
  'plan-merge': 'Plan a merge, symbol by symbol',
  reconcile: 'Find an order to merge branches in',
  gc: 'Move old records aside',
};

const clutchSummaries: Readonly<Record<ClutchCommand, string>> = {
  run: 'Give a task to a model that works on it with tools',
  approvals: 'See what of runs waits for you',
  approve: 'Let it happen, as it is or edited',
  reject: 'Refuse it, and say why',
  audit: 'Check whether what was written down of a session is whole',
};

function generalHelp(): string {
  const clutchNames = Object.entries(clutchSummaries).map(
    ([name, summary]) => `  ${name.padEnd(12)}${summary}`,
  );
  const reservationNames = Object.entries(reservationSummaries).map(
    ([name, summary]) => `  ${name.padEnd(12)}${summary}`,
  );
  const names = Object.entries(commands).map(([name, [summary]]) => `  ${name.padEnd(12)}${summary}`);
  return [
    'Usage: stomp-serve [command] [options]',
    '',
    'Serves a team of agents from one model: every agent keeps a cache of its own, across requests and restarts.',
    '',
    'Commands:',
    ...names,
    '',
    'About runs of a server that runs (stomp-serve COMMAND --help tells more):',
    ...clutchNames,
    '',
    'About the symbols of a git repository that several agents work on (stomp-serve COMMAND --help tells more):',
    ...reservationNames,
    '',
    'Options of serve (stomp-serve COMMAND --help tells those of another):',
    optionsHelp('serve'),
  ].join('\n');
}
