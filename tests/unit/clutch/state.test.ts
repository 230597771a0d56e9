import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClutchEvent, EmittedEvent } from '../../../ts/clutch/events/event.js';
import { checkEvent } from '../../../ts/clutch/events/event-shapes.js';
import {
  type ClutchState,
  emptyState,
  mostDecidedApprovals,
  mostEndedRuns,
  reduce,
} from '../../../ts/clutch/events/state.js';
import type { ApprovalWire, RuleWire, RunChangeWire, RunWire } from '../../../ts/clutch/wire.js';

const usage = { input_tokens: 0, cached_tokens: 0, output_tokens: 0 };

function runWire(id: string, more: Partial<RunWire> = {}): RunWire {
  return {
    object: 'run',
    id,
    status: 'idle',
    rounds: 0,
    usage,
    updated_at: 1,
    agent_id: 'a',
    session_id: 's',
    prompt: 'Do it.',
    base_dir: '/work',
    provider: 'engine',
    model: 'm',
    gate: 'all',
    created_at: 1,
    ...more,
  };
}

function changeWire(id: string, more: Partial<RunChangeWire> = {}): RunChangeWire {
  return { id, status: 'sending', rounds: 1, usage, updated_at: 2, ...more };
}

function approvalWire(id: string, more: Partial<ApprovalWire> = {}): ApprovalWire {
  return {
    object: 'approval',
    id,
    run_id: 'r0',
    kind: 'confirm',
    status: 'pending',
    revision: 1,
    proposed: {},
    payload: {},
    preview: { title: 'Run make' },
    digest: 'd',
    requester: 'ann',
    created_at: 1,
    deadline_at: 9,
    ...more,
  };
}

function ruleWire(id: string): RuleWire {
  return {
    object: 'rule',
    id,
    run_id: 'r0',
    tool: 'run_script',
    folder: '/work',
    approval_id: 'g0',
    made_by: 'eve',
    created_at: 1,
  };
}

/** Numbered, in order. */
function events(...all: readonly EmittedEvent[]): ClutchEvent[] {
  return all.map((event, i) => ({ ...event, seq: i + 1, at: 1000 + i }) as ClutchEvent);
}

function stateAfter(...all: readonly EmittedEvent[]): ClutchState {
  return events(...all).reduce(reduce, emptyState());
}

const started = (id: string): EmittedEvent => ({
  type: 'run_started',
  run_id: id,
  body: { run: runWire(id) },
});
const changed = (id: string, more?: Partial<RunChangeWire>): EmittedEvent => ({
  type: 'run_changed',
  run_id: id,
  body: { run: changeWire(id, more) },
});
const asked = (id: string, round = 1): EmittedEvent => ({
  type: 'request_start',
  run_id: id,
  body: { round, provider: 'engine', model: 'm', messages: 2 },
});
const said = (id: string, text: string, reasoning = ''): EmittedEvent => ({
  type: 'text',
  run_id: id,
  body: { text, reasoning },
});
const reset = (id: string): EmittedEvent => ({
  type: 'text_reset',
  run_id: id,
  body: { attempt: 2, wait_ms: 100, reason: 'cut off' },
});
const answered = (id: string, text: string): EmittedEvent => ({
  type: 'response_received',
  run_id: id,
  body: { round: 1, finish: 'calls', ms: 5, text, calls: [] },
});
const began = (id: string, call_id: string, payload: Record<string, unknown> = {}): EmittedEvent => ({
  type: 'tool_execution',
  run_id: id,
  body: { phase: 'start', call_id, tool: 'read_file', payload },
});
const came = (id: string, call_id: string, output: string): EmittedEvent => ({
  type: 'tool_execution',
  run_id: id,
  body: { phase: 'end', call_id, tool: 'read_file', payload: {}, output, failed: false, ms: 3 },
});
const gate = (id: string, more: Partial<ApprovalWire> = {}): EmittedEvent => ({
  type: more.status === undefined ? 'gate_opened' : 'gate_decided',
  run_id: 'r0',
  body: { approval: approvalWire(id, more) },
});
const rule = (id: string, type: 'rule_made' | 'rule_revoked'): EmittedEvent => ({
  type,
  run_id: 'r0',
  body: { rule: ruleWire(id) },
});

describe('a run in the state', () => {
  it('shows what streams in the current round, until it is answered', () => {
    const live = (state: ClutchState) => state.runs.r0?.live;
    const begin = [started('r0'), asked('r0', 3), said('r0', 'he', 'hm'), said('r0', 'llo')];
    expect(live(stateAfter(...begin))).toEqual({ round: 3, text: 'hello', reasoning: 'hm', tools: [] });
    const again = [...begin, reset('r0')];
    expect(live(stateAfter(...again))).toMatchObject({ text: '', retry: { attempt: 2, reason: 'cut off' } });
    expect(live(stateAfter(...again, said('r0', 'Hi')))).toEqual({
      round: 3,
      text: 'Hi',
      reasoning: '',
      tools: [],
    });
    const end = stateAfter(...begin, answered('r0', 'hello'));
    expect(live(end)).toMatchObject({ text: '', reasoning: '' });
    expect(end.runs.r0?.activity).toEqual([{ seq: 5, at: 1004, kind: 'said', text: 'hello' }]);
  });

  it('shows which calls are carried out, and what came of them', () => {
    const all = [
      started('r0'),
      began('r0', 'c1', { path: 'a' }),
      began('r0', 'c2'),
      came('r0', 'c1', 'x'.repeat(5000)),
    ];
    const run = stateAfter(...all).runs.r0;
    expect(run?.live?.tools).toEqual([{ call_id: 'c2', tool: 'read_file' }]);
    expect(run?.activity).toMatchObject([
      { kind: 'call', call_id: 'c1', text: '{"path":"a"}' },
      { kind: 'call', call_id: 'c2' },
      { kind: 'outcome', call_id: 'c1', text: 'x'.repeat(2000), failed: false, ms: 3 },
    ]);
  });

  it('keeps the last 65,536 characters of what streams, and the last 50 items', () => {
    const long = stateAfter(
      started('r0'),
      asked('r0'),
      said('r0', `a${'x'.repeat(65_535)}`),
      said('r0', 'yz'),
    );
    expect(long.runs.r0?.live?.text).toBe(`${'x'.repeat(65_534)}yz`);
    const split = stateAfter(started('r0'), said('r0', `😀${'x'.repeat(65_535)}`));
    expect(split.runs.r0?.live?.text).toBe('x'.repeat(65_535));
    const busy = stateAfter(
      started('r0'),
      ...Array.from({ length: 60 }, (_, i) => answered('r0', String(i))),
    );
    expect(busy.runs.r0?.activity.map((item) => item.kind === 'said' && item.text)).toEqual(
      Array.from({ length: 50 }, (_, i) => String(i + 10)),
    );
  });

  it('takes on what has changed, and is still once it is over', () => {
    const state = stateAfter(
      started('r0'),
      asked('r0'),
      said('r0', 'he'),
      changed('r0', { status: 'done', output: 'hello', ended_at: 5 }),
      came('r0', 'c1', 'late'),
    );
    expect(state.runs.r0).toMatchObject({
      status: 'done',
      output: 'hello',
      prompt: 'Do it.',
      activity: [{ kind: 'outcome', text: 'late' }],
    });
    expect(state.runs.r0).not.toHaveProperty('live');
    expect(stateAfter(changed('none'), said('none', 'a')).runs).toEqual({});
  });

  it('that ended long ago makes room for later ones', () => {
    const many = Array.from({ length: mostEndedRuns + 5 }, (_, i) => `r${i}`);
    const all = many.flatMap((id, i) => [started(id), changed(id, { status: 'done', ended_at: 10 + i })]);
    const { runs } = stateAfter(started('open'), ...all);
    expect(Object.keys(runs)).toEqual(['open', ...many.slice(5)]);
  });
});

describe('approvals and rules in the state', () => {
  it('are there as they were last', () => {
    const state = stateAfter(
      gate('g0'),
      gate('g1'),
      gate('g0', { status: 'approved', decided_at: 5 }),
      rule('u0', 'rule_made'),
      rule('u1', 'rule_made'),
      rule('u0', 'rule_revoked'),
    );
    expect(state.approvals).toMatchObject({ g0: { status: 'approved' }, g1: { status: 'pending' } });
    expect(Object.keys(state.rules)).toEqual(['u1']);
  });

  it('stay while they are pending, and for a while when they are decided', () => {
    const many = Array.from({ length: mostDecidedApprovals + 3 }, (_, i) => `g${i}`);
    const pending = Array.from({ length: 150 }, (_, i) => `p${i}`);
    const { approvals } = stateAfter(
      ...pending.map((id) => gate(id)),
      ...many.map((id, i) => gate(id, { status: 'rejected', decided_at: i })),
    );
    expect(Object.keys(approvals)).toEqual([...pending, ...many.slice(3)]);
  });
});

describe('the reducer', () => {
  const id = fc.constantFrom('r0', 'r1', 'r2');
  const some = fc.string({ unit: 'grapheme', maxLength: 20 });
  const anyEvent: fc.Arbitrary<EmittedEvent> = fc.oneof(
    id.map(started),
    fc
      .tuple(id, fc.option(fc.nat(), { nil: undefined }))
      .map(([run, ended]) => changed(run, ended === undefined ? {} : { status: 'done', ended_at: ended })),
    fc.tuple(id, fc.nat(10)).map(([run, round]) => asked(run, round)),
    fc.tuple(id, some, some).map(([run, text, reasoning]) => said(run, text, reasoning)),
    id.map(reset),
    fc.tuple(id, some).map(([run, text]) => answered(run, text)),
    fc.tuple(id, fc.constantFrom('c1', 'c2')).map(([run, call]) => began(run, call, { call })),
    fc.tuple(id, fc.constantFrom('c1', 'c2'), some).map(([run, call, output]) => came(run, call, output)),
    fc.constantFrom('g0', 'g1').map((one) => gate(one)),
    fc
      .tuple(fc.constantFrom('g0', 'g1'), fc.nat())
      .map(([one, at]) => gate(one, { status: 'approved', decided_at: at })),
    fc.constantFrom('u0', 'u1').map((one) => rule(one, 'rule_made')),
    fc.constantFrom('u0', 'u1').map((one) => rule(one, 'rule_revoked')),
  );
  const history = fc.array(anyEvent, { maxLength: 60 }).map((all) => events(...all));

  it('changes nothing of what it is given', () => {
    fc.assert(
      fc.property(history, (all) => {
        let state = deepFrozen(emptyState());
        for (const event of all) {
          checkEvent(event);
          const before = JSON.stringify(state);
          const next = reduce(state, deepFrozen(event));
          expect(JSON.stringify(state)).toBe(before);
          expect(next.seq).toBe(event.seq);
          state = deepFrozen(next);
        }
      }),
    );
  });

  it('comes to the same from any state on the way, sent as JSON', () => {
    fc.assert(
      fc.property(history, fc.nat(60), (all, at) => {
        const whole = all.reduce(reduce, emptyState());
        const snapshot = JSON.parse(JSON.stringify(all.slice(0, at).reduce(reduce, emptyState())));
        expect(all.slice(at).reduce(reduce, snapshot)).toEqual(whole);
        // As toEqual takes what is undefined for what is not there.
        expect(JSON.parse(JSON.stringify(whole))).toStrictEqual(whole);
      }),
    );
  });

  it('takes no event twice', () => {
    fc.assert(
      fc.property(history, fc.nat(60), (all, from) => {
        const whole = all.reduce(reduce, emptyState());
        for (const event of all.slice(from)) expect(reduce(whole, event)).toBe(whole);
      }),
    );
  });

  it('leaves what an event is not about as the same object', () => {
    fc.assert(
      fc.property(history, anyEvent, (all, last) => {
        const before = all.reduce(reduce, emptyState());
        const next = reduce(before, { ...last, seq: all.length + 1, at: 1 } as ClutchEvent);
        const about = partOf(last);
        for (const part of (['approvals', 'rules', 'runs'] as const).filter((one) => one !== about))
          expect(next[part]).toBe(before[part]);
        for (const [run, view] of Object.entries(next.runs).filter(([run]) => run !== last.run_id))
          expect(view).toBe(before.runs[run]);
      }),
    );
  });
});

function partOf({ type }: EmittedEvent): 'approvals' | 'rules' | 'runs' {
  if (type.startsWith('gate')) return 'approvals';
  return type.startsWith('rule') ? 'rules' : 'runs';
}

function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFrozen(part);
  }
  return value;
}
