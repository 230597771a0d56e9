/** `stomp-serve stress`: agents in processes of their own fight over the same resources; nothing may be lost. */
import type { Settings } from '../../config/index.js';
import { StompError } from '../../errors.js';
import { isPostgres } from '../../storage/open.js';
import type { Command, Invocation } from '../command.js';
import { reportTable } from '../stress/report.js';
import { runStress } from '../stress/run.js';
import type { ScenarioName } from '../stress/scenario.js';
import { print, say } from '../terminal.js';
import { formatMs, plural } from '../units.js';

export const stress: Command = {
  name: 'stress',
  usage: '',
  summary: 'Let agents in processes of their own fight over files, databases, graphs and docs',
  arguments: [0, 0],
  run,
};

const everything: readonly ScenarioName[] = ['files', 'db', 'graph', 'docs'];
const progressEveryMs = 1000;

async function run({ settings, terminal }: Invocation): Promise<number> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  let told = 0;
  const progress = (operations: number, elapsedMs: number): void => {
    if (elapsedMs - told < progressEveryMs || !terminal.stderr.isTTY) return;
    told = elapsedMs;
    say(terminal, `${formatMs(elapsedMs)}: ${plural(operations, 'operation')}`);
  };
  try {
    const report = await runStress({
      agents: settings.agents,
      durationMs: settings.operations === undefined ? settings.duration * 1000 : Number.POSITIVE_INFINITY,
      operations: settings.operations ?? Number.POSITIVE_INFINITY,
      scenarios: settings.scenario === 'mixed' ? everything : [settings.scenario],
      database: databaseOf(settings),
      kill: settings.kill,
      signal: stop.signal,
      progress,
    });
    print(terminal, reportTable(report.rows));
    print(terminal, '');
    const killed = report.killed > 0 ? `, ${plural(report.killed, 'agent')} killed` : '';
    print(
      terminal,
      `${plural(settings.agents, 'agent')}, ${formatMs(report.elapsedMs)}, ${settings.backend}${killed}`,
    );
    for (const problem of report.problems) say(terminal, `stomp-serve: ${problem}`);
    if (report.folder) say(terminal, `stomp-serve: what the agents left is in ${report.folder}`);
    return report.problems.length === 0 ? 0 : 1;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function databaseOf({ backend, database }: Settings): string | undefined {
  if (backend === 'sqlite') return undefined;
  if (isPostgres(database)) return database;
  throw new StompError(
    'CONFIG_INVALID',
    'The backend postgres needs a server: say --database postgres://user:password@host:port/database.',
    { fields: { field: 'database', value: database, allowed: 'postgres://…' } },
  );
}
