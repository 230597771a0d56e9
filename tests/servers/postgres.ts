/** The PostgreSQL server of the tests. */
import { startPostgres as start } from '../../scripts/postgres-server.mjs';

export interface PostgresServer {
  readonly url: string;
  /** `immediate`: without saying goodbye to anybody, as after a crash. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
  /** Stops it and removes its folder. */
  close(): Promise<void>;
}

export function startPostgres(): Promise<PostgresServer> {
  return start();
}
