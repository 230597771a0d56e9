/** The state of the clutch in this page, and how it is kept up to date: a snapshot, then each event once, in order. */
import type { ClutchEvent } from '../../clutch/events/event.js';
import { type ClutchState, reduce } from '../../clutch/events/state.js';
import { readSse, type SseMessage } from '../../sse-reader.js';
import { type Api, ApiError } from '../api/client.js';
import { createStore } from './store.js';

/** How the page stands with the server. */
export type Link =
  | { readonly status: 'connecting' }
  | { readonly status: 'live' }
  | { readonly status: 'waiting'; readonly retryAt: number; readonly reason: string }
  /** It will not be tried again before there is another token. */
  | { readonly status: 'refused'; readonly reason: string };

const firstRetryMs = 500;
const longestRetryMs = 10_000;
/** The server says something each second; silent for so long, the connection is dead. */
const silenceMs = 15_000;
/** Events that come together are drawn together. */
const drawMs = 40;
const logLength = 300;

export class LiveState {
  readonly state = createStore<ClutchState | undefined>(undefined);
  readonly link = createStore<Link>({ status: 'connecting' });
  /** The newest events, oldest first; texts that stream are left out. */
  readonly log = createStore<readonly ClutchEvent[]>([]);
  /** How far the server's clock is ahead of this machine's, in ms. */
  skewMs = 0;
  readonly #api: Api;
  #waiting: ClutchEvent[] = [];
  #drawTimer: ReturnType<typeof setTimeout> | undefined;
  #run: AbortController | undefined;
  #retry: (() => void) | undefined;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Connects; once more, and it begins anew: with another token, for example. */
  start(): void {
    this.stop();
    const run = new AbortController();
    this.#run = run;
    void this.#stay(run.signal);
  }

  stop(): void {
    this.#run?.abort();
  }

  /** Does not wait for the next time. */
  retryNow(): void {
    this.#retry?.();
  }

  async #stay(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures++) {
      this.link.set({ status: 'connecting' });
      const reason = await this.#follow(signal, () => {
        failures = 0;
      });
      this.#draw();
      if (signal.aborted) return;
      if (reason instanceof ApiError && reason.isForbidden) {
        this.link.set({ status: 'refused', reason: reason.message });
        return;
      }
      await this.#pause(failures, reason, signal);
    }
  }

  /** @returns why it came to an end */
  async #follow(outer: AbortSignal, onLive: () => void): Promise<Error> {
    const silence = new AbortController();
    const signal = AbortSignal.any([outer, silence.signal]);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new Error('The server has fallen silent.')), silenceMs);
    };
    try {
      heard();
      await this.#catchUp(signal);
      const path = `/v1/events?after=${this.state.get()?.seq ?? 0}`;
      const response = await this.#api.open(path, { signal, accept: 'text/event-stream' });
      if (!response.body) throw new Error('The server sent no events.');
      this.link.set({ status: 'live' });
      onLive();
      for await (const message of readSse(response.body)) {
        heard();
        this.#take(message);
      }
      return new Error('The server has closed the connection.');
    } catch (error) {
      return error as Error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What was missed comes as events, unless the server has begun anew, with another database. */
  async #catchUp(signal: AbortSignal): Promise<void> {
    const now = await this.#api.json<ClutchState>('/v1/state', { signal });
    this.#draw();
    const mine = this.state.get();
    if (mine === undefined || !continues(now, mine)) this.state.set(now);
    else if (now.system) this.state.set({ ...mine, system: now.system });
  }

  #take({ event, data }: SseMessage): void {
    const read: unknown = JSON.parse(data);
    if (event === 'snapshot') {
      this.#waiting = [];
      this.state.set(read as ClutchState);
    } else if (event === 'system') {
      const system = read as NonNullable<ClutchState['system']>;
      const state = this.state.get();
      this.skewMs = system.at - Date.now();
      if (state) this.state.set({ ...state, system });
    } else {
      this.#waiting.push(read as ClutchEvent);
      this.#drawTimer ??= setTimeout(() => this.#draw(), drawMs);
    }
  }

  #draw(): void {
    clearTimeout(this.#drawTimer);
    this.#drawTimer = undefined;
    const events = this.#waiting;
    const before = this.state.get();
    if (events.length === 0 || !before) return;
    this.#waiting = [];
    this.state.set(events.reduce(reduce, before));
    const worthy = events.filter(({ seq, type }) => seq > before.seq && type !== 'text');
    if (worthy.length > 0) this.log.set([...this.log.get(), ...worthy].slice(-logLength));
  }

  #pause(failures: number, { message }: Error, signal: AbortSignal): Promise<void> {
    const most = Math.min(firstRetryMs * 2 ** failures, longestRetryMs);
    // Not all pages at the same time, after a restart of the server.
    const ms = most * (0.5 + Math.random() / 2);
    this.link.set({ status: 'waiting', retryAt: Date.now() + ms, reason: message });
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', over);
        this.#retry = undefined;
        resolve();
      };
      const timer = setTimeout(over, ms);
      signal.addEventListener('abort', over, { once: true });
      this.#retry = over;
    });
  }
}

/** A server that knows less than this page, or nothing of a run that went on here, is not the one that was left. */
function continues(now: ClutchState, before: ClutchState): boolean {
  const goingOn = Object.values(before.runs).filter(({ ended_at }) => ended_at === undefined);
  return now.seq >= before.seq && goingOn.every(({ id }) => Object.hasOwn(now.runs, id));
}
