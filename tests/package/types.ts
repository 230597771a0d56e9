/** Compiled by test-package.mjs against the installed package, under each module resolution that users have. */
import { Engine, type EngineOptions, StompError } from 'stomp-serve';
import { type Clutch, openClutch } from 'stomp-serve/clutch';
import { AgentContextManager } from 'stomp-serve/context';
import { FileGuard, Maasl } from 'stomp-serve/guard';
import { Toolbox } from 'stomp-serve/mcp';
import { Reservations } from 'stomp-serve/reservations';
import { createServer, type StompServer } from 'stomp-serve/serve';

export const options: EngineOptions = { executor: 'cpu', cacheDir: null };
export const engine: Promise<Engine> = Engine.load('model', options);
// @ts-expect-error there is no such executor: types are really looked at
export const wrong: EngineOptions = { executor: 'tpu' };
export const answer: Promise<string> = engine.then((one) => one.chat('hello').text());
export const open: typeof openClutch = openClutch;
export type Served = StompServer;
export type Held = Clutch;
export const parts: unknown[] = [
  StompError,
  AgentContextManager,
  FileGuard,
  Maasl,
  Toolbox,
  Reservations,
  createServer,
];
