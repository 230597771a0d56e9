/** `stomp-serve mcp`: speaks MCP over standard input and output, for the client that has started it. */
import { type AgentContextManager, contextTools } from '../../context/index.js';
import { StompError } from '../../errors.js';
import { DocgenGuard, guardTools } from '../../guard/index.js';
import { type StdioServer, serveStdio, Toolbox, type ToolSet } from '../../mcp/index.js';
import type { Reservations } from '../../reservations/index.js';
import { reservationTools } from '../../reservations/tools/reservation-tools.js';
import { packageVersion } from '../../version.js';
import type { Command, Invocation } from '../command.js';
import { errorFields, jsonLog, type Log } from '../json-log.js';
import { openContext } from '../open-context.js';
import { openFiles, openMaasl } from '../open-guard.js';
import { reservationsToServe } from '../open-reservations.js';

export const mcp: Command = {
  name: 'mcp',
  usage: '',
  summary:
    'Locks, guarded files, the context and the reservations of agents for an MCP client, over standard input and output',
  arguments: [0, 0],
  run: runMcp,
};

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function runMcp(invocation: Invocation): Promise<number> {
  const log = jsonLog(invocation.settings.logLevel, invocation.terminal.stderr);
  const maasl = await openMaasl(invocation, (event) => log('debug', event.event, event));
  let context: AgentContextManager | undefined;
  let reservations: Reservations | undefined;
  try {
    const files = await openFiles(maasl, invocation);
    const docgen = await DocgenGuard.open(maasl, files);
    context = await openContext(maasl, invocation.settings, files.roots, {
      onProblem: (problem) => log('warn', 'the context has a problem', errorFields(problem)),
    });
    const found = await reservationsToServe(invocation.settings, files.roots, maasl);
    if (found instanceof StompError) log('warn', 'no reservations', { reason: found.message });
    else reservations = found;
    const sets: ToolSet[] = [guardTools({ maasl, files, docgen }), contextTools(context)];
    if (reservations) sets.push(reservationTools(reservations));
    const tools = new Toolbox(sets, {
      onFault: ({ error, tool, correlationId }) =>
        log('error', 'a tool failed', { tool, correlation_id: correlationId, ...errorFields(error) }),
    });
    const server = await serveStdio({
      tools,
      onError: (error) => log('warn', 'a message does not fit the protocol', { reason: error.message }),
    });
    const { roots } = files;
    log('info', 'ready', { version: packageVersion(), database: maasl.storage?.name, roots });
    await untilClosed(server, log);
    return 0;
  } finally {
    await reservations?.close();
    await context?.close();
    await maasl.close();
  }
}

/** @throws what nobody has caught, after a tidy end. */
async function untilClosed(server: StdioServer, log: Log): Promise<void> {
  const onSignal = (signal: string): void => {
    log('info', 'stopping', { signal });
    void server.close().catch(() => undefined); // `closed` rejects too
  };
  let fail!: (error: unknown) => void;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on('uncaughtException', fail).on('unhandledRejection', fail);
  try {
    await Promise.race([server.closed, failed]);
  } catch (error) {
    await server.close().catch(() => undefined);
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
    process.off('uncaughtException', fail).off('unhandledRejection', fail);
  }
}
