import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import type { DocgenMake } from '../../../ts/guard/docgen-run.js';
import { FencedError, LeaseLostError } from '../../../ts/guard/errors.js';
import type { FileCall } from '../../../ts/guard/files.js';
import { as, code, type Desk, DocgenRig, document } from './docgen-rig.js';

const ann = as('ann');
const patient = { maxWaitMs: 10_000 };
const never = () => expect.unreachable('nothing was to be made');

describe('docgen guard, late', () => {
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

  /** Takes the lease on the document from whoever holds it, as if its time were up. */
  async function endLease(owner: FileCall): Promise<void> {
    const locks = await desk.maasl.locks.snapshot();
    const held = locks.find(({ resource_key }) => resource_key === `docgen:${rig.root}/a.md`);
    const tokens = new Map([[held?.resource_key ?? '', BigInt(held?.fencing_token ?? 0)]]);
    await desk.maasl.locks.resume(tokens, owner).release();
  }

  describe('a holder that has lost its lease', () => {
    it('writes nothing once another has made the document', async () => {
      const { done, go } = await annAtWork(() => 'stale');
      await endLease(ann);
      rig.put('a.ts', 'two');
      const taken = await generate((text) => `about ${text}`, as('bob'), {}, other);
      rig.put('a.ts', 'one');
      go();
      const error: unknown = await done.catch((e: unknown) => e);
      expect(error).toBeInstanceOf(FencedError);
      expect((error as StompError).fields).toMatchObject({
        resource_key: `docgen:${rig.root}/a.md`,
        highest_token: taken.token?.toString(),
      });
      expect(rig.text('a.md')).toBe(document('two', 'about two'));
      const fenced = desk.events.filter(({ event }) => event === 'fenced');
      expect(fenced).toMatchObject([{ agent_id: 'ann', resource_key: `docgen:${rig.root}/a.md` }]);
      await rig.expectTidy();
    });

    it('writes nothing while another is at the document', async () => {
      rig.put('a.md', document('old', 'doc'));
      const { done, go } = await annAtWork(() => 'stale');
      await endLease(ann);
      const result = await generate(
        async () => {
          go();
          expect(await done.catch(code)).toBe('FENCED');
          expect(rig.text('a.md')).toBe(document('old', 'doc'));
          return 'fresh';
        },
        as('bob'),
        {},
        other,
      );
      expect(result).toMatchObject({ status: 'generated' });
      expect(rig.text('a.md')).toBe(document('one', 'fresh'));
    });

    it('writes nothing when it was stopped for longer than its lease', async () => {
      // Nothing that the time brings about happens to a process that is stopped: it renews nothing, it notices nothing.
      const stopped = await rig.desk({}, { clock: { now: () => 0, after: () => () => undefined } });
      const late = generate(
        async () => {
          const taken = generate(() => 'fresh', as('bob', patient), {}, other);
          expect(await taken).toMatchObject({ status: 'generated' });
          return 'stale';
        },
        as('ann', { ttlMs: 50 }),
        {},
        stopped,
      );
      expect(await late.catch(code)).toBe('FENCED');
      expect(rig.text('a.md')).toBe(document('one', 'fresh'));
    });

    it('is not told so when the document was in place before', async () => {
      let ending: Promise<void> | undefined;
      let armed = false;
      desk.maasl.telemetry.sink = ({ event, resource_key }) => {
        // When it is about to write, the fence has let it pass.
        if (armed && event === 'lock_acquired' && resource_key === `code:${rig.at('a.md')}`) {
          ending ??= endLease(ann);
        }
        if (event === 'docgen') desk.maasl.telemetry.sink = (after) => desk.events.push(after);
      };
      const result = await generate(() => {
        armed = true;
        return 'doc';
      });
      await ending;
      expect(result).toMatchObject({ status: 'generated' });
      expect(desk.events.at(-1)).toMatchObject({ outcome: 'ok', release_failure: 'LEASE_LOST' });
      expect(rig.text('a.md')).toBe(document('one', 'doc'));
    });

    it('is told so while it makes', async () => {
      let reason: unknown;
      const lost = generate(
        async (_text, { signal }) => {
          await endLease(ann);
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          reason = signal.reason;
          return never();
        },
        as('ann', { ttlMs: 60 }),
      );
      expect(await lost.catch((e: unknown) => e)).toBeInstanceOf(LeaseLostError);
      expect(reason).toBeInstanceOf(LeaseLostError);
      expect(() => rig.text('a.md')).toThrow();
    });
  });

  describe('a document that changes while it is made', () => {
    it('is left as it is when somebody has written it by hand', async () => {
      rig.put('a.md', document('old', 'doc'));
      const result = await generate(async () => {
        await other.files.write(rig.at('a.md'), 'by hand', {}, as('bob'));
        return 'doc';
      });
      expect(result).toMatchObject({ status: 'skipped', attempts: 1 });
      expect(rig.text('a.md')).toBe('by hand');
    });

    it('is made once, and put in the place of what has changed', async () => {
      rig.put('a.md', document('old', 'doc'));
      const result = await generate(async () => {
        await other.files.edit(rig.at('a.md'), { oldText: 'doc', newText: 'other' }, as('bob'));
        return 'doc';
      });
      expect(result).toMatchObject({ status: 'generated', attempts: 1 });
      expect(rig.text('a.md')).toBe(document('one', 'doc'));
    });

    it('is not replaced in the last moment, between the fence and the write', async () => {
      rig.put('a.md', document('old', 'doc'));
      let armed = false;
      desk.maasl.telemetry.sink = ({ event, resource_key }) => {
        if (!armed || event !== 'lock_acquired' || resource_key !== `code:${rig.at('a.md')}`) return;
        armed = false;
        rig.put('a.md', document('one', 'of another'));
      };
      const result = await generate(() => {
        armed = true;
        return 'doc';
      });
      expect(armed).toBe(false);
      expect(result).toMatchObject({ status: 'noop', attempts: 1 });
      expect(rig.text('a.md')).toBe(document('one', 'of another'));
    });

    it('is nothing to do when the session has made it in another process', async () => {
      const result = await generate(async () => {
        expect(await generate(() => 'far', ann, {}, other)).toMatchObject({ status: 'generated' });
        return 'near';
      });
      expect(result).toMatchObject({ status: 'noop', attempts: 1 });
      expect(rig.text('a.md')).toBe(document('one', 'far'));
      await rig.expectTidy();
    });

    it('is tried for as often as the source, each for itself', async () => {
      rig.put('a.md', document('old', 'made before'));
      let n = 0;
      const result = await generate(async (text) => {
        if (text !== '2') rig.put('a.ts', `${++n}`);
        else await other.files.edit(rig.at('a.md'), { oldText: 'made', newText: 'edited' }, as('bob'));
        return 'doc';
      });
      expect(result).toMatchObject({ status: 'generated', attempts: 3 });
      expect(rig.text('a.md')).toBe(document('2', 'doc'));
    });

    it('is given up when it does not rest', async () => {
      rig.put('a.md', document('old', '0'));
      let n = 0;
      desk.maasl.telemetry.sink = ({ event, resource_key }) => {
        if (event === 'lock_acquired' && resource_key === `code:${rig.at('a.md')}`) {
          rig.put('a.md', document('old', `${++n}`));
        }
      };
      expect(await generate(() => 'doc').catch(code)).toBe('STALE_VERSION');
      expect(rig.text('a.md')).toBe(document('old', `${n}`));
    });
  });
});
