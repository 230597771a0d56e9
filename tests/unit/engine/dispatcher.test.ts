import { describe, expect, it } from 'vitest';
import { Dispatcher, type RequestSink } from '../../../ts/engine/dispatcher.js';
import type { StompError } from '../../../ts/errors.js';
import type { NativeFinish, NativeRequest, NativeUsage } from '../../../ts/native.js';

class Sink implements RequestSink {
  readonly events: string[] = [];
  failWith: Error | undefined;

  token(token: number): void {
    if (this.failWith) throw this.failWith;
    this.events.push(`token ${token}`);
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
const pairs = (...values: number[]) => Int32Array.from(values);
const end = (id: number): NativeFinish => ({ request: id, reason: 'stop', usage });

describe('Dispatcher', () => {
  it('hands every event of a step to its own request, in order', () => {
    const { one } = dispatcher();
    const sinks = [new Sink(), new Sink()];
    const [a = 0, b = 0] = sinks.map((sink) => one.submit(request, sink));
    one.onStep(pairs(a, 10, b, 20, a, 11), pairs(b, 64, 128), [end(a)]);
    expect(sinks[0]?.events).toEqual(['token 10', 'token 11', 'stop']);
    expect(sinks[1]?.events).toEqual(['token 20', 'prefill 64/128']);
    expect(one.live).toBe(1);
  });

  it('drops events of requests that are over', () => {
    const { one } = dispatcher();
    const sink = new Sink();
    const id = one.submit(request, sink);
    one.onStep(pairs(), pairs(), [end(id)]);
    one.onStep(pairs(id, 1), pairs(), [end(id)]);
    expect(sink.events).toEqual(['stop']);
  });

  it('fails only the request whose reader throws, and cancels it', () => {
    const { one, cancelled } = dispatcher();
    const sinks = [new Sink(), new Sink()];
    const [a = 0, b = 0] = sinks.map((sink) => one.submit(request, sink));
    Object.assign(sinks[0] ?? {}, { failWith: new Error('reader') });
    one.onStep(pairs(a, 1, b, 2), pairs(), [end(b)]);
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
