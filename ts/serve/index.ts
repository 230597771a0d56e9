/** The HTTP server of stomp-serve, to run or to mount in a server of your own. */
export type { ServedRegistry } from './engine-source.js';
export {
  createServer,
  type GuardServices,
  type ListenOptions,
  type ServerOptions,
  type StompServer,
} from './server.js';
export type { Phase, ServedEngine } from './service.js';
export type { TracingOptions } from './tracing/trace-requests.js';
