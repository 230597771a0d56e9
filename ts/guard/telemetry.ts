/** Structured events of the guard, to wherever the user wants them. */
import type { StompError } from '../errors.js';
import type { Owner } from './lock-table.js';

/** What happened, in the words of the wire. */
export type StompEventName =
  | 'lock_acquired'
  | 'lock_timeout'
  | 'lock_released'
  | 'lease_expired'
  | 'lease_renewed'
  | 'fenced'
  | 'db_write'
  | 'graph_merge'
  | 'docgen'
  | 'stomp_guard_call';

/** Names as on the wire; every event has a time and whose it is, the rest depends on the event. */
export interface StompEvent {
  event: StompEventName;
  /** Milliseconds since 1970; set by the telemetry when left out. */
  timestamp?: number;
  agent_id: string;
  session_id: string;
  resource_key?: string;
  [field: string]: unknown;
}

/** Takes events as they happen; it must not take long. */
export type TelemetrySink = (event: StompEvent) => void;

/** Counts every event and hands it to the sink, if there is one. A sink that throws does not break the guard. */
export class Telemetry {
  readonly #counts = new Map<StompEventName, number>();
  #sink: TelemetrySink | undefined;

  constructor(sink?: TelemetrySink) {
    this.#sink = sink;
  }

  /** Replaces the sink; undefined switches it off, the counts go on. */
  set sink(sink: TelemetrySink | undefined) {
    this.#sink = sink;
  }

  /** Whether anybody listens; without, counting is enough. */
  get listened(): boolean {
    return this.#sink !== undefined;
  }

  /** Counts an event that nobody hears. */
  count(event: StompEventName): void {
    this.#counts.set(event, (this.#counts.get(event) ?? 0) + 1);
  }

  /** Counts an event and hands it to the sink, with the time. */
  emit(event: StompEvent): void {
    this.count(event.event);
    if (!this.#sink) return;
    try {
      this.#sink({ timestamp: Date.now(), ...event });
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  /** A resource has refused a token. */
  fenced({ agentId, sessionId }: Owner, { fields }: StompError): void {
    this.emit({ event: 'fenced', agent_id: agentId, session_id: sessionId, ...fields });
  }

  /** How often each event was emitted. */
  counts(): Partial<Record<StompEventName, number>> {
    return Object.fromEntries(this.#counts);
  }
}
