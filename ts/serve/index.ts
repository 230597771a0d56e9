/** The HTTP server of stomp-serve, to run or to mount in a server of your own. */
export type { BodyLimits } from './access/bodies.js';
export { requireRole } from './access/caller.js';
export type { ConnectionOptions } from './access/connections.js';
export type { GateOptions } from './access/gate.js';
export { type KeyFile, type KeyFileEvents, openKeyFile } from './access/key-file.js';
export { type ApiKey, type Caller, KeyRing, newKey, ROLES, type Role } from './access/keys.js';
export type { RateLimitOptions } from './access/rate-limits.js';
export type { ServedRegistry } from './engine-source.js';
export type { ListenOptions } from './listen.js';
export { createServer, type GuardServices, type ServerOptions, type StompServer } from './server.js';
export type { Phase, ServedEngine } from './service.js';
export type { TracingOptions } from './tracing/trace-requests.js';
