/** `stomp-serve serve`: loads a model and serves it until it is told to stop. */

import type { Clutch } from '../../clutch/clutch.js';
import { aliasNames } from '../../config/alias-names.js';
import type { Settings } from '../../config/index.js';
import type { AgentContextManager } from '../../context/index.js';
import type { ModelRegistry } from '../../engine/model-registry.js';
import { StompError } from '../../errors.js';
import { DocgenGuard } from '../../guard/index.js';
import type { Reservations } from '../../reservations/index.js';
import { createServer, type GuardServices, type StompServer } from '../../serve/index.js';
import { type Access, openAccess } from '../access.js';
import { announce } from '../announce.js';
import { stateFolder } from '../approver-token.js';
import type { Command, Invocation } from '../command.js';
import type { FirstModel } from '../open-clutch.js';
import { openContext } from '../open-context.js';
import { openFiles, openMaasl } from '../open-guard.js';
import { openRegistry } from '../open-registry.js';
import { reservationsToServe } from '../open-reservations.js';
import { type SharedToken, takeApproverToken } from '../shared-token.js';
import { say, type Terminal } from '../terminal.js';
import { tracingOptions } from '../traces.js';
import { plural } from '../units.js';

export const serve: Command = {
  name: 'serve',
  usage: '',
  summary: 'Serve a model to agents on this machine',
  arguments: [0, 0],
  run: runServer,
};

/** Ends a process that was stopped before it served, as a shell would report it. */
const EXIT_INTERRUPTED = 130;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function runServer(invocation: Invocation): Promise<number> {
  const { access, keyFile } = await openAccess(invocation.settings, invocation.terminal);
  try {
    return await serveAll(invocation, access);
  } finally {
    keyFile?.close();
  }
}

/** The guard, the context and the reservations first: what is wrong with them shows before a model is brought. */
async function serveAll(invocation: Invocation, access: Access): Promise<number> {
  const { settings, terminal } = invocation;
  const maasl = await openMaasl(invocation);
  let context: AgentContextManager | undefined;
  let reservations: Reservations | StompError | undefined;
  try {
    const files = await openFiles(maasl, invocation);
    const guard = { maasl, files, docgen: await DocgenGuard.open(maasl, files) };
    context = await openContext(maasl, settings, files.roots, {
      onProblem: (problem) => say(terminal, `The context has a problem: ${problem.message}`),
    });
    reservations = await reservationsToServe(settings, files.roots, maasl);
    return await serveModel(invocation, access, { guard, context, reservations });
  } finally {
    await closeReservations(reservations);
    await context?.close();
    await maasl.close();
  }
}

interface Opened {
  readonly guard: GuardServices;
  readonly context: AgentContextManager;
  readonly reservations: Reservations | StompError;
}

async function closeReservations(reservations: Reservations | StompError | undefined): Promise<void> {
  if (reservations && !(reservations instanceof StompError)) await reservations.close();
}

/** The runs that were left go on before there is a model; those that need it wait for it. */
async function serveModel(invocation: Invocation, access: Access, opened: Opened): Promise<number> {
  const { settings, terminal } = invocation;
  const registry = openRegistry(settings, terminal);
  let approver: SharedToken | undefined;
  let clutch: Clutch | undefined;
  try {
    if (!access.keys) approver = await takeApproverToken(stateFolder(settings));
    // Only now: providers and tools are many modules, and what is wrong with the settings is told before.
    const { clutchToServe, FirstModel } = await import('../open-clutch.js');
    const firstModel = new FirstModel(registry);
    clutch = await clutchToServe({
      settings,
      maasl: opened.guard.maasl,
      files: opened.guard.files,
      models: firstModel,
      secrets: approver ? [approver.token] : [],
      onWarning: (error) => say(terminal, `stomp-serve: a run has a problem: ${String(error)}`),
    });
    return await listenAndServe(invocation, {
      ...opened,
      access,
      registry,
      firstModel,
      clutch,
      approver,
    });
  } finally {
    // Where nothing has been served yet.
    await approver?.leave();
    await clutch?.close();
    await registry.close();
  }
}

interface Served extends Opened {
  readonly access: Access;
  readonly registry: ModelRegistry;
  readonly firstModel: FirstModel;
  readonly clutch: Clutch;
  readonly approver: SharedToken | undefined;
}

function serverOf({ settings }: Invocation, served: Served): StompServer {
  const { access, registry, guard, context, reservations, clutch, approver } = served;
  const server = createServer(registry, {
    ...access,
    aliases: aliasNames(settings.modelAlias ?? ''),
    batchWindowMs: settings.batchWindowMs,
    shutdownTimeoutMs: settings.shutdownTimeoutSeconds * 1000,
    maxQueue: settings.maxQueue,
    ...tracingOptions(settings),
    guard,
    context,
    reservations,
    clutch,
    approverToken: approver?.token,
    elicitApprovals: settings.elicitApprovals,
    log: { level: settings.logLevel, stream: process.stderr },
  });
  guard.maasl.telemetry.sink = (event) => server.app.log.debug(event, event.event);
  if (reservations instanceof StompError)
    server.app.log.info({ reason: reservations.message }, 'no reservations');
  return server;
}

async function listenAndServe(invocation: Invocation, served: Served): Promise<number> {
  const { settings, terminal } = invocation;
  const { registry, firstModel, clutch, guard, reservations, approver } = served;
  const stopLoading = new AbortController();
  const server = serverOf(invocation, served);
  const stop = stopSignals(server, settings, terminal, stopLoading);
  let isLoaded = false;
  try {
    // Before the model: a taken port is found out at once, and supervisors can watch the load.
    const { host, port, allowRemote } = settings;
    const { url } = await server.listen({ host, port, allowRemote });
    await registry.load(settings.model, { signal: stopLoading.signal });
    isLoaded = true;
    await approver?.keep();
    firstModel.isThere();
    const folder = settings.repository ?? guard.files.roots[0] ?? '.';
    const about = reservations instanceof StompError ? 'no git repository there' : 'reserved by agents';
    const symbols = `${folder}, ${about}`;
    await announce({ registry, guard, symbols, url, approverToken: approver?.token }, terminal);
    await stop.closed;
  } catch (caught) {
    await Promise.all([server.close(), server.close()]);
    if (!isLoaded && stopLoading.signal.aborted) return EXIT_INTERRUPTED;
    throw caught;
  } finally {
    // Signals do not interrupt this: their handlers still stand.
    await approver?.leave();
    await clutch.close();
    await registry.close();
    if (isLoaded) say(terminal, 'Every agent is saved.');
    stop.dispose();
  }
  return 0;
}

interface StopSignals {
  /** Resolves when a signal came and the server has closed. Rejects with an error that nobody caught. */
  readonly closed: Promise<void>;
  dispose(): void;
}

/** The first signal drains, the second cancels what runs. An uncaught error also ends in a tidy close. */
function stopSignals(
  server: StompServer,
  settings: Settings,
  terminal: Terminal,
  stopLoading: AbortController,
): StopSignals {
  let succeed!: () => void;
  let fail!: (error: unknown) => void;
  const closed = new Promise<void>((resolve, reject) => {
    succeed = resolve;
    fail = reject;
  });
  // Nobody waits for it while the model is being loaded.
  closed.catch(() => undefined);
  const onSignal = (): void => {
    if (server.phase === 'ready') {
      const running = plural(server.runningTurns, 'running request');
      say(
        terminal,
        `Stopping: ${running} may go on for ${settings.shutdownTimeoutSeconds} s; once more stops at once.`,
      );
    }
    stopLoading.abort();
    server.close().then(succeed, fail);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  process.on('uncaughtException', fail).on('unhandledRejection', fail);
  return {
    closed,
    dispose: () => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
      process.off('uncaughtException', fail).off('unhandledRejection', fail);
    },
  };
}
