import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Dispatcher, type RequestSink } from '../../../ts/engine/dispatcher.js';
import type { TokenLogprob } from '../../../ts/engine/types.js';
import type { StompError } from '../../../ts/errors.js';
import type { NativeFinish, NativeRequest, NativeUsage } from '../../../ts/native.js';

class Sink implements RequestSink {
  readonly events: string[] = [];
  readonly logprobs: TokenLogprob[] = [];
  failWith: Error | undefined;

  started(cached: number): void {
    this.events.push(`started ${cached}`);
  }
  token(token: number, logprob?: TokenLogprob): void {
    if (this.failWith) throw this.failWith;
    this.events.push(`token ${token}`);
    if (logprob) this.logprobs.push(logprob);
  }
  prefill(done: number, total: number): void {
    this.events.push(`prefill ${done}/${total}`);
  }
  finish(finish: NativeFinish): void {
    this.events.push(finish.reason);
  }
  fail(error: StompError): void {
    this.events.push(`fail ${error.code}`);
  }
}

function dispatcher(submit: (request: NativeRequest) => void = () => undefined) {
  const cancelled: number[] = [];
  const one = new Dispatcher();
  one.attach({ submit, cancel: (id) => cancelled.push(id) });
  return { one, cancelled };
}

const request = {} as NativeRequest;
const usage = {} as NativeUsage;
/** (request, token) or (request, done, total). */
type Event = readonly [number, number, number?];
const step = (one: Dispatcher, events: readonly Event[], finished: readonly NativeFinish[]) =>
  one.onStep(
    Int32Array.from(events.flatMap(([id, value, total = 0]) => [id, value, total])),
    events.length,
    finished,
  );
const end = (id: number): NativeFinish => ({ request: id, reason: 'stop', usage });

/** Others may have their turns of the event loop first. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await turnOfTheLoop();
}

describe('Dispatcher', () => {
  it('hands every event of a step to its own request, in order', async () => {
    const { one } = dispatcher();
    const sinks = [new Sink(), new Sink()];
    const [a = 0, b = 0] = sinks.map((sink) => one.submit(request, sink));
    step(
      one,
      [
        [a, 10],
        [b, 64, 128],
        [a, 11],
        [b, 20],
      ],
      [end(a)],
    );
    expect(one.live).toBe(1);
    await settled();
    expect(sinks[0]?.events).toEqual(['token 10', 'token 11', 'stop']);
    expect(sinks[1]?.events).toEqual(['prefill 64/128', 'token 20']);
  });

  it('gives each token the log-probabilities that came for it', () => {
    const { one } = dispatcher();
    const [a, b] = [new Sink(), new Sink()];
    const first = one.submit(request, a);
    const second = one.submit(request, b);
    const events = [first, 3, -1, first, 10, -3, second, 20, 0, first, 11, -2, second, 21, -2];
    const pairs = [10, -0.5, 12, -0.25, 11, -1, 21, -2];
    one.onStep(Int32Array.from(events), 5, [], Float32Array.from(pairs));
    expect(a.events).toEqual(['started 3', 'token 10', 'token 11']);
    expect(a.logprobs).toEqual([
      { token: 10, logprob: -0.5, top: [{ token: 12, logprob: -0.25 }] },
      { token: 11, logprob: -1, top: [] },
    ]);
    expect(b.logprobs).toEqual([{ token: 21, logprob: -2, top: [] }]);
  });

  it('keeps the count of log-probabilities of requests that are over', () => {
    const { one } = dispatcher();
    const sink = new Sink();
    const id = one.submit(request, sink);
    one.onStep(Int32Array.of(id + 1, 5, -2, id, 6, -2), 2, [], Float32Array.of(5, -1, 6, -2));
    expect(sink.logprobs).toEqual([{ token: 6, logprob: -2, top: [] }]);
  });

  it('reads no further than it is told: the rest is of an earlier step', () => {
    const { one } = dispatcher();
    const sink = new Sink();
    const id = one.submit(request, sink);
    one.onStep(Int32Array.of(id, 5, 0, id, 6, 0), 1, []);
    expect(sink.events).toEqual(['token 5']);
  });

  it('ends answers of one step in turns of the event loop, and all of them when it closes', async () => {
    const { one } = dispatcher();
    const sinks = Array.from({ length: 6 }, () => new Sink());
    const ids = sinks.map((sink) => one.submit(request, sink));
    const told = () => sinks.filter(({ events }) => events.includes('stop')).length;
    step(one, [], ids.map(end));
    const counts = [told()];
    for (let turn = 0; turn < 4; turn++) {
      await turnOfTheLoop();
      counts.push(told());
    }
    for (const [i, count] of counts.entries()) expect(count - (counts[i - 1] ?? 0)).toBeLessThanOrEqual(2);
    expect(told()).toBeGreaterThan(0);
    expect(told()).toBeLessThan(6);
    one.close();
    expect(told()).toBe(6);
  });

  it('drops events of requests that are over', async () => {
    const { one } = dispatcher();
    const sink = new Sink();
    const id = one.submit(request, sink);
    step(one, [], [end(id)]);
    step(one, [[id, 1]], [end(id)]);
    await settled();
    expect(sink.events).toEqual(['stop']);
  });

  it('fails only the request whose reader throws, and cancels it', async () => {
    const { one, cancelled } = dispatcher();
    const sinks = [new Sink(), new Sink()];
    const [a = 0, b = 0] = sinks.map((sink) => one.submit(request, sink));
    Object.assign(sinks[0] ?? {}, { failWith: new Error('reader') });
    step(
      one,
      [
        [a, 1],
        [b, 2],
      ],
      [end(b)],
    );
    await settled();
    expect(sinks[0]?.events).toEqual(['fail GENERATION_FAILED']);
    expect(sinks[1]?.events).toEqual(['token 2', 'stop']);
    expect(cancelled).toEqual([a]);
  });

  it('forgets a request that the engine refuses at once', () => {
    const { one } = dispatcher(() => {
      throw Object.assign(new Error('closed'), { code: 'SHUTTING_DOWN' });
    });
    expect(() => one.submit(request, new Sink())).toThrow(expect.objectContaining({ code: 'SHUTTING_DOWN' }));
    expect(one.live).toBe(0);
  });

  it('cancels what is live and nothing else', () => {
    const { one, cancelled } = dispatcher();
    const id = one.submit(request, new Sink());
    one.cancel(id);
    one.cancel(id + 1);
    expect(cancelled).toEqual([id]);
  });

  it('tells every live request when the engine is gone', () => {
    const { one } = dispatcher();
    const sink = new Sink();
    one.submit(request, sink);
    one.close();
    expect(sink.events).toEqual(['fail SHUTTING_DOWN']);
    expect(() => one.submit(request, sink)).toThrow(expect.objectContaining({ code: 'SHUTTING_DOWN' }));
  });

  it('gives no two live requests one id', () => {
    const { one } = dispatcher();
    const ids = Array.from({ length: 1000 }, () => one.submit(request, new Sink()));
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every((id) => id > 0 && id < 2 ** 31)).toBe(true);
  });
});
