import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import type { DocgenMake } from '../../../ts/guard/docgen-run.js';
import { ResourceBusyError } from '../../../ts/guard/errors.js';
import type { FileCall } from '../../../ts/guard/files.js';
import { as, code, type Desk, DocgenRig, document, gate, hash } from './docgen-rig.js';

const ann = as('ann');
const patient = { maxWaitMs: 10_000 };
const never = () => expect.unreachable('nothing was to be made');

describe('docgen guard among several', () => {
  let rig: DocgenRig;
  let desk: Desk;
  let other: Desk;

  beforeEach(async () => {
    rig = new DocgenRig();
    desk = await rig.desk();
    other = await rig.desk();
    rig.put('a.ts', 'one');
  });
  afterEach(() => rig.close());

  const generate = (
    make: DocgenMake,
    call: FileCall = ann,
    more: Parameters<DocgenRig['request']>[0] = {},
    at = desk,
  ) => at.docs.generate(rig.request(more), make, call);

  const annAtWork = (make?: DocgenMake) => rig.atWork(desk, ann, make);

  const waiters = async (n: number) => {
    await expect
      .poll(async () => (await desk.maasl.locks.snapshot()).find(({ waiters }) => waiters === n))
      .toBeDefined();
  };

  describe.each([
    ['agents of one process', () => [desk, desk, desk], ['bob', 'cid', 'dan']],
    ['agents of several processes', () => [other, other, desk], ['bob', 'cid', 'dan']],
    ['calls of one session', () => [desk, desk, desk], ['ann', 'ann', 'ann']],
  ] as const)('%s', (_who, desks, agents) => {
    it('make a document once: those who have waited for it have nothing to do', async () => {
      const { done, go } = await annAtWork();
      const rest = desks().map((at, i) => generate(never, as(agents[i] ?? '', patient), {}, at));
      if (agents[0] !== 'ann') await waiters(3);
      go();
      expect(await done).toMatchObject({ status: 'generated' });
      for (const result of await Promise.all(rest))
        expect(result).toMatchObject({ status: 'noop', attempts: 0 });
      expect(rig.text('a.md')).toBe(document('one', 'about one'));
      expect((await desk.docs.status()).map(({ status }) => status)).toEqual([
        'generated',
        'noop',
        'noop',
        'noop',
      ]);
      await rig.expectTidy();
    });

    it('are told who is at it when they do not wait so long', async () => {
      const { done, go } = await annAtWork();
      const [at = desk] = desks();
      const error: unknown = await generate(never, as(agents[0], { maxWaitMs: 30 }), {}, at).catch((e) => e);
      expect(error).toBeInstanceOf(ResourceBusyError);
      expect((error as StompError).fields).toMatchObject({
        resource_key: `docgen:${rig.root}/a.md`,
        holder_agent_id: 'ann',
        holder_session_id: 'ann-1',
        max_wait_ms: 30,
      });
      const tried = generate(never, as(agents[0], { maxWaitMs: 0 }), {}, at);
      expect(await tried.catch(code)).toBe('RESOURCE_BUSY');
      go();
      await done;
      const told = (await desk.docs.status()).map(({ status, reason }) => [status, reason?.split(':')[0]]);
      expect(told).toEqual([
        ['error', 'RESOURCE_BUSY'],
        ['error', 'RESOURCE_BUSY'],
        ['generated', undefined],
      ]);
      await rig.expectTidy();
    });

    it('can be called off while they wait, and make room for those behind them', async () => {
      const { done, go } = await annAtWork();
      const [at = desk] = desks();
      const stop = new AbortController();
      const off = generate(never, as(agents[0], { ...patient, signal: stop.signal }), {}, at);
      const behind = generate(never, as(agents[1], patient), {}, at);
      stop.abort(new Error('enough'));
      expect(await off.catch(code)).toBe('CANCELLED');
      go();
      await done;
      expect(await behind).toMatchObject({ status: 'noop' });
      await rig.expectTidy();
    });

    it('take over from one that has failed', async () => {
      const { done, go } = await annAtWork(() => Promise.reject(new Error('no model')));
      const [at = desk] = desks();
      const next = generate(() => 'second try', as(agents[0], patient), {}, at);
      go();
      await expect(done).rejects.toThrow('no model');
      expect(await next).toMatchObject({ status: 'generated' });
    });
  });

  it('makes it of the source as it is when the lock is had, not as it was when it was asked for', async () => {
    const { done, go } = await annAtWork(() => {
      // From here on the document is made of what the source no longer is.
      rig.put('a.ts', 'two');
      return Promise.reject(new Error('no'));
    });
    const next = generate((text) => `about ${text}`, as('bob', patient), {}, other);
    await waiters(1);
    go();
    await done.catch(() => undefined);
    expect(await next).toMatchObject({ status: 'generated', sha256: hash('two'), attempts: 1 });
    expect(rig.text('a.md')).toBe(document('two', 'about two'));
  });

  it('holds up nobody at another document, however alike the names are', async () => {
    const both = gate();
    const keys: string[] = [];
    const make = async () => {
      const locks = await desk.maasl.locks.snapshot();
      keys.splice(0, keys.length, ...locks.map(({ resource_key }) => resource_key));
      if (keys.length === 2) both.open();
      await both.opened;
      return 'doc';
    };
    await Promise.all([
      generate(make, as('ann', { maxWaitMs: 0 }), { target: 'a/b_c' }),
      generate(make, as('bob', { maxWaitMs: 0 }), { target: 'a_b/c' }, other),
    ]);
    expect(keys).toEqual([`docgen:${rig.root}/a/b_c`, `docgen:${rig.root}/a_b/c`]);
  });

  it('does not wait for itself when a maker asks for its own document', async () => {
    const inner = (call: FileCall) => generate(never, call).catch(code);
    await generate(async () => `${await inner(as('ann', { maxWaitMs: 20 }))}`);
    expect(rig.text('a.md')).toBe(document('one', 'RESOURCE_BUSY'));
  });

  it('makes documents of documents within one another', async () => {
    await generate(async (text) => {
      await generate(() => 'part', ann, { target: 'part.md' });
      return `${text} ${rig.text('part.md').length}`;
    });
    expect(rig.text('a.md')).toBe(document('one', `one ${document('one', 'part').length}`));
    await rig.expectTidy();
  });

  it('ends at once when it is called off, whatever the maker does', async () => {
    const stop = new AbortController();
    let told = false;
    const off = generate(
      (_text, { signal }) => {
        signal.addEventListener('abort', () => {
          told = true;
        });
        stop.abort(new Error('enough'));
        return new Promise<string>(() => undefined);
      },
      as('ann', { signal: stop.signal }),
    );
    const error = (await off.catch((e: unknown) => e)) as StompError;
    expect(error).toMatchObject({ code: 'CANCELLED', name: 'AbortError', cause: new Error('enough') });
    expect(told).toBe(true);
    await rig.expectTidy();
    const before = generate(never, as('ann', { signal: AbortSignal.abort() }));
    expect(await before.catch(code)).toBe('CANCELLED');
    expect((await desk.docs.status()).map(({ status }) => status)).toEqual(['error', 'error']);
  });

  it('makes nothing once it is called off', async () => {
    const stop = new AbortController();
    desk.maasl.telemetry.sink = ({ event, resource_key }) => {
      if (event === 'lock_acquired' && resource_key === `code:${rig.at('a.md')}`) stop.abort();
    };
    expect(await generate(never, as('ann', { signal: stop.signal })).catch(code)).toBe('CANCELLED');
  });

  it('waits for its turn in a session and for other agents within one deadline', async () => {
    const { done, go } = await annAtWork(() => Promise.reject(new Error('no')));
    const end = gate();
    const bob = generate(
      async () => {
        await end.opened;
        return 'doc';
      },
      as('bob', patient),
    );
    await waiters(1);
    const late = generate(never, as('ann', { maxWaitMs: 1000 })).catch((e: StompError) => e.fields);
    await sleep(200);
    go();
    await done.catch(() => undefined);
    const fields = (await late) as StompError['fields'];
    expect(fields).toMatchObject({ holder_agent_id: 'bob', max_wait_ms: expect.any(Number) });
    expect(fields.max_wait_ms).toBeLessThan(1000);
    end.open();
    expect(await bob).toMatchObject({ status: 'generated' });
  });

  it('does not give up what was made because a file is busy for a moment', async () => {
    const result = await generate(
      async () => {
        const file = { resourceClass: 'CRIT_CODE', identifier: rig.at('a.md') };
        const held = await other.maasl.stompGuard([file], { ...as('bob'), intent: 'hold' });
        setTimeout(() => void held.release(), 100);
        return 'doc';
      },
      as('ann', { maxWaitMs: 0 }),
    );
    expect(result).toMatchObject({ status: 'generated' });
  });

  it('never shows a document that is not of the source whose hash it bears', async () => {
    const agents = ['ann', 'bob', 'cid'];
    const step = fc.record({
      agent: fc.constantFrom(...agents),
      far: fc.boolean(),
      edits: fc.boolean(),
      fails: fc.boolean(),
      overwrites: fc.boolean(),
    });
    const truthful = () => {
      const shown = rig.text('a.md');
      const source = shown.slice(shown.indexOf('\n') + 1).replace(/^about /, '');
      expect(shown).toBe(document(source, `about ${source}`));
    };
    let n = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
        await generate((text) => `about ${text}`, as('ann', patient));
        const calls = steps.map(({ agent, far, edits, fails, overwrites: overwrite }) =>
          generate(
            async (text) => {
              if (edits) rig.put('a.ts', `source ${++n}`);
              await new Promise((resolve) => setImmediate(resolve));
              truthful();
              if (fails) throw new Error('no model');
              return `about ${text}`;
            },
            as(agent, { ...patient, sessionId: far ? 'far' : 'near' }),
            { overwrite },
            far ? other : desk,
          ).then(truthful, (error: Error) => expect(error.message).toMatch(/no model|changes faster/)),
        );
        rig.put('a.ts', `source ${++n}`);
        const ended = await Promise.allSettled(calls);
        expect(ended.filter(({ status }) => status === 'rejected')).toEqual([]);
        await generate((text) => `about ${text}`, as('ann', patient));
        expect(rig.text('a.md')).toBe(document(`source ${n}`, `about source ${n}`));
        await rig.expectTidy();
      }),
      { numRuns: 15, endOnFailure: true },
    );
  });
});
