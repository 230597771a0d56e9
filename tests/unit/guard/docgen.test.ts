import { mkdirSync, symlinkSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InvalidRequestError, type StompError } from '../../../ts/errors.js';
import { DocgenGuard } from '../../../ts/guard/docgen.js';
import { documentOf, hashIn } from '../../../ts/guard/docgen-text.js';
import { DocgenStaleError, MaaslError } from '../../../ts/guard/errors.js';
import { Maasl } from '../../../ts/guard/maasl.js';
import { as, code, type Desk, DocgenRig, document, gate, hash } from './docgen-rig.js';

const ann = as('ann');
const never = () => expect.unreachable('nothing was to be made');

describe('docgen guard', () => {
  let rig: DocgenRig;
  let desk: Desk;

  beforeEach(async () => {
    rig = new DocgenRig();
    desk = await rig.desk();
    rig.put('a.ts', 'one');
  });
  afterEach(() => rig.close());

  const generate = (
    make: Parameters<DocgenGuard['generate']>[1],
    more: Parameters<DocgenRig['request']>[0] = {},
    call = ann,
  ) => desk.docs.generate(rig.request(more), make, call);

  it('makes the document of its source, with the hash of the source before it', async () => {
    const result = await generate(async (text, { sha256, signal }) => {
      expect(sha256).toBe(hash('one'));
      expect(signal.aborted).toBe(false);
      return `about ${text}\n`;
    });
    expect(rig.text('a.md')).toBe(document('one', 'about one\n'));
    expect(result).toMatchObject({
      status: 'generated',
      file: rig.at('a.md'),
      source: rig.at('a.ts'),
      sha256: hash('one'),
      attempts: 1,
    });
    expect(result.reason).toBeUndefined();
    expect(result.token).toBeGreaterThan(0n);
    await rig.expectTidy();
  });

  it('makes nothing while the document is that of the source, and makes it anew when it is not', async () => {
    await generate((text) => `about ${text}`);
    expect(await generate(never)).toMatchObject({ status: 'noop', attempts: 0, sha256: hash('one') });
    rig.put('a.md', `\uFEFF${rig.text('a.md').replaceAll('\n', '\r\n')}`);
    expect(await generate(never)).toMatchObject({ status: 'noop' });
    rig.put('a.ts', 'two');
    expect(await generate((text) => `about ${text}`)).toMatchObject({ status: 'generated' });
    expect(rig.text('a.md')).toBe(document('two', 'about two'));
  });

  it('hashes the bytes of the source, byte order mark and carriage returns included', async () => {
    const bytes = Buffer.from('\uFEFFone\r\ntwo\r\n');
    rig.put('a.ts', bytes);
    let seen = '';
    await generate((text) => {
      seen = text;
      return 'doc';
    });
    expect(Buffer.from(seen)).toEqual(bytes);
    expect(rig.text('a.md')).toBe(document(bytes, 'doc'));
  });

  it('puts one header before the document, also when what was made brings one along', async () => {
    await generate(() => document('something else', 'doc'));
    expect(rig.text('a.md')).toBe(document('one', 'doc'));
  });

  it('finds in a document the hash that it was given, and in other text none', () => {
    const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
    fc.assert(
      fc.property(hex, fc.string(), fc.string(), (sha256, text, other) => {
        const made = documentOf(sha256, text);
        expect(hashIn(Buffer.from(made))).toBe(sha256);
        expect(made.endsWith(`\n${text}`)).toBe(true);
        expect(hashIn(Buffer.from(`x${other}${made}`))).toBeUndefined();
        expect(hashIn(Buffer.from(made.replace(sha256, sha256.slice(1))))).toBeUndefined();
      }),
    );
  });

  it('makes the folders of a document', async () => {
    await generate(() => 'doc', { target: 'docs/deep/a.md' });
    expect(rig.text('docs/deep/a.md')).toBe(document('one', 'doc'));
    await rig.expectTidy();
  });

  it('skips a source that is empty or too large, and says why', async () => {
    rig.put('a.md', document('old', 'doc'));
    rig.put('a.ts', '\uFEFF \r\n');
    expect(await generate(never)).toMatchObject({
      status: 'skipped',
      reason: expect.stringMatching(/empty/),
    });
    desk = await rig.desk({ maxSourceBytes: 3 });
    rig.put('a.ts', 'four');
    expect(await generate(never)).toMatchObject({
      status: 'skipped',
      reason: expect.stringMatching(/4 bytes.* 3$/),
    });
    rig.put('a.ts', Buffer.alloc(10_001));
    expect(await generate(never)).toMatchObject({
      status: 'skipped',
      reason: expect.stringMatching(/10001 bytes.* 10000$/),
      sha256: undefined,
    });
    expect(rig.text('a.md')).toBe(document('old', 'doc'));
  });

  it('leaves alone what was written by hand, unless it is told to overwrite it', async () => {
    rig.put('a.md', '# By hand\n');
    const kept = await generate(never);
    expect(kept).toMatchObject({ status: 'skipped', reason: expect.stringMatching(/overwrite/) });
    expect(rig.text('a.md')).toBe('# By hand\n');
    await generate(() => 'doc', { overwrite: true });
    expect(rig.text('a.md')).toBe(document('one', 'doc'));
    rig.put('a.ts', 'two');
    expect(await generate(() => 'doc')).toMatchObject({ status: 'generated' });
  });

  it('makes it anew of a source that has changed while it was made', async () => {
    const made: string[] = [];
    const result = await generate((text) => {
      made.push(text);
      if (text === 'one') rig.put('a.ts', 'two');
      return `about ${text}`;
    });
    expect(made).toEqual(['one', 'two']);
    expect(result).toMatchObject({ status: 'generated', attempts: 2, sha256: hash('two') });
    expect(rig.text('a.md')).toBe(document('two', 'about two'));
  });

  it('gives up on a source that does not rest, and leaves the document as it was', async () => {
    rig.put('a.md', document('old', 'doc'));
    for (const [attempts, options] of [
      [3, {}],
      [1, { maxAttempts: 1 }],
    ] as const) {
      desk = await rig.desk(options);
      rig.put('a.ts', '0');
      let n = 0;
      const error: unknown = await generate(() => {
        rig.put('a.ts', `${++n}`);
        return 'doc';
      }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(DocgenStaleError);
      expect(error).toBeInstanceOf(MaaslError);
      expect((error as StompError).fields).toEqual({
        file: rig.at('a.md'),
        expected_hash: hash(`${attempts - 1}`),
        got_hash: hash(`${attempts}`),
      });
      expect(n).toBe(attempts);
    }
    expect(rig.text('a.md')).toBe(document('old', 'doc'));
    await rig.expectTidy();
  });

  it('writes nothing when the source is gone by the time it is made', async () => {
    const { files } = desk;
    const gone = generate(async () => {
      await files.delete(rig.at('a.ts'), {}, as('bob'));
      return 'doc';
    });
    expect(await gone.catch(code)).toBe('NOT_FOUND');
    expect(() => rig.text('a.md')).toThrow();
  });

  it('throws what the maker throws, and gives the lock back', async () => {
    class Own extends Error {}
    const own = new Own('no model', { cause: 5 });
    expect(await generate(() => Promise.reject(own)).catch((e: unknown) => e)).toBe(own);
    const strange = Object.create(null) as object;
    const thrown = generate(() => {
      throw strange;
    });
    expect(await thrown.catch((e: unknown) => e)).toBe(strange);
    await rig.expectTidy();
    expect(await generate(() => 'doc')).toMatchObject({ status: 'generated' });
  });

  it('refuses what is no text: a binary source, a folder for a document, what the maker returns', async () => {
    for (const made of [undefined, 5, Buffer.from('doc'), '', ' \n']) {
      expect(await generate(() => made as string).catch(code)).toBe('INVALID_REQUEST');
    }
    expect(() => rig.text('a.md')).toThrow();
    mkdirSync(rig.at('folder'));
    expect(await generate(never, { target: 'folder' }).catch(code)).toBe('INVALID_REQUEST');
    for (const bytes of [Buffer.from('a\0b'), Buffer.from([0x61, 0xff])]) {
      rig.put('a.ts', bytes);
      await expect(generate(never)).rejects.toThrow(/binary/);
    }
    await rig.expectTidy();
  });

  it('stays within the roots and the repository', async () => {
    symlinkSync(rig.base, rig.at('out'));
    mkdirSync(rig.at('inner'));
    for (const outside of [
      { target: '../a.md' },
      { target: 'out/a.md' },
      { target: '.' },
      { source: 'out/stomp.db' },
      { source: '/etc/hostname' },
      { repo: rig.base, source: 'project/a.ts', target: 'project/a.md' },
      { repo: rig.at('inner'), source: rig.at('a.ts'), target: rig.at('a.md') },
    ]) {
      expect([outside, await generate(never, outside).catch(code)]).toEqual([outside, 'PATH_DENIED']);
    }
    expect(await generate(never, { source: 'b.ts' }).catch(code)).toBe('NOT_FOUND');
  });

  it('refuses what it does not know', async () => {
    symlinkSync(rig.at('a.ts'), rig.at('link.md'));
    const requests = [
      { repo: '' },
      { repoName: 'a/b' },
      { repoName: '' },
      { source: '' },
      { target: 5 },
      { target: 'link.md' },
      { overwrite: 1 },
    ];
    for (const request of requests) {
      const refused = generate(never, request as never);
      expect([request, await refused.catch(code)]).toEqual([request, 'INVALID_REQUEST']);
    }
    expect(await generate(never, { force: true } as never).catch(code)).toBe('UNSUPPORTED_FIELD');
    expect(await generate('doc' as never).catch(code)).toBe('INVALID_REQUEST');
    const calls = [
      as(''),
      { agentId: 'ann' },
      undefined,
      as('ann', { maxWaitMs: -1 }),
      as('ann', { mode: 'slow' as never }),
    ];
    for (const call of calls) {
      expect(await desk.docs.generate(rig.request(), never, call as never).catch(code)).toBe(
        'INVALID_REQUEST',
      );
    }
    expect(await generate(never, {}, { ...ann, intent: 'x' } as never).catch(code)).toBe('UNSUPPORTED_FIELD');
    expect(await desk.docs.status()).toEqual([]);
    const open = (...args: unknown[]) => DocgenGuard.open(...(args as Parameters<typeof DocgenGuard.open>));
    const { maasl, files } = desk;
    await expect(open(maasl, files, { maxAttempts: 0 })).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(open(maasl, files, { capacity: 1.5 })).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(open(maasl, files, { maxSourceBytes: '1' })).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(open(maasl, files, { size: 1 })).rejects.toThrow(/size/);
    await expect(open(maasl, {})).rejects.toThrow(/FileGuard/);
    await expect(open({}, files)).rejects.toThrow(/Maasl/);
    const memory = await Maasl.open();
    expect(await open(memory, files).catch(code)).toBe('CONFIG_INVALID');
    await memory.close();
  });

  it('takes the token under which the caller believes to hold the document', async () => {
    const { token } = await generate(() => 'doc');
    const late = generate(never, {}, as('ann', { token: token ?? 0n }));
    expect(await late.catch(code)).toBe('FENCED');
    await rig.expectTidy();
    const docs = [{ resourceClass: 'IDEMP_DOCS', identifier: `${rig.root}/b.md` }];
    const held = await desk.maasl.stompGuard(docs, { ...ann, intent: 'hold' });
    const [believed = 0n] = held.tokens.values();
    const within = await generate(() => 'doc', { target: 'b.md' }, as('ann', { token: believed }));
    expect(within).toMatchObject({ status: 'generated', token: believed });
    await held.release();
  });

  it('locks a document under one name, whichever folder is given for the repository', async () => {
    mkdirSync(rig.at('inner'));
    symlinkSync(rig.at('inner'), rig.at('link'));
    await generate(() => 'doc', { target: 'inner/a.md' });
    await generate(never, { repo: rig.at('inner'), source: '../a.ts' });
    await generate(never, { repo: rig.at('link'), source: rig.at('a.ts') });
    await generate(never, { target: 'link/../link/a.md' });
    const keys = desk.events.filter(({ event }) => event === 'docgen').map((event) => event.resource_key);
    expect(keys).toEqual(Array.from({ length: 4 }, () => `docgen:${rig.root}/inner/a.md`));
  });

  it('works without locks when the guard is switched off', async () => {
    desk = await rig.desk({}, { maasl: { enabled: false } });
    const both = gate();
    let n = 0;
    const make = async () => {
      if (++n === 2) both.open();
      await both.opened;
      return 'doc';
    };
    const results = await Promise.all([generate(make), generate(make)]);
    expect(results.map(({ token }) => token)).toEqual([undefined, undefined]);
    expect(rig.text('a.md')).toBe(document('one', 'doc'));
  });

  describe('status', () => {
    it('tells of every call, the newest last, in every process', async () => {
      const other = await rig.desk();
      await generate(() => 'doc');
      await other.docs.generate(rig.request(), never, as('bob'));
      await generate(() => Promise.reject(new RangeError('no\0 model')), { target: 'b.md' }).catch(() => 0);
      rig.put('c.md', 'by hand');
      await generate(never, { target: 'c.md' });
      const told = await other.docs.status();
      expect(told).toEqual(await desk.docs.status());
      const one = { source: rig.at('a.ts'), sha256: hash('one'), agent_id: 'ann', session_id: 'ann-1' };
      expect(told).toMatchObject([
        { ...one, file: rig.at('a.md'), status: 'generated', attempts: 1 },
        { ...one, file: rig.at('a.md'), status: 'noop', attempts: 0, agent_id: 'bob', session_id: 'bob-1' },
        { ...one, file: rig.at('b.md'), status: 'error', attempts: 1, reason: 'RangeError: no model' },
        { ...one, file: rig.at('c.md'), status: 'skipped', attempts: 0 },
      ]);
      expect(told.map((record) => 'reason' in record)).toEqual([false, false, true, true]);
      for (const { timestamp, duration_ms } of told) {
        expect(Math.abs(Date.now() - timestamp)).toBeLessThan(60_000);
        expect(duration_ms).toBeGreaterThanOrEqual(0);
      }
    });

    it('keeps as many as it has room for', async () => {
      desk = await rig.desk({ capacity: 3 });
      for (let n = 0; n < 5; n++) await generate(() => 'doc', { target: `${n}.md` });
      const names = async (docs: DocgenGuard) => (await docs.status()).map(({ file }) => file);
      const last = ['2.md', '3.md', '4.md'].map((name) => rig.at(name));
      expect(await names(desk.docs)).toEqual(last);
      expect(await names((await rig.desk({ capacity: 100 })).docs)).toEqual(last);
    });

    it('is told as events, too', async () => {
      await generate(() => 'doc');
      await generate(() => Promise.reject(new Error('no')), { target: 'b.md', repoName: 'mine' }).catch(
        () => 0,
      );
      const events = desk.events.filter(({ event }) => event === 'docgen');
      const told = await desk.docs.status();
      expect(events).toEqual([
        { event: 'docgen', resource_key: `docgen:${rig.root}/a.md`, ...told[0] },
        { event: 'docgen', resource_key: 'docgen:mine/b.md', ...told[1] },
      ]);
      expect(desk.maasl.telemetry.counts()).toMatchObject({ docgen: 2 });
    });

    it('does not fail a call whose record cannot be kept', async () => {
      const { storage } = desk.maasl;
      await storage?.write(function* () {
        yield { sql: 'DROP TABLE stomp_docgen', params: [] };
      });
      expect(await generate(() => 'doc')).toMatchObject({ status: 'generated' });
      const own = new Error('no');
      const failed = generate(() => Promise.reject(own), { target: 'b.md' });
      expect(await failed.catch((e: unknown) => e)).toBe(own);
      const events = desk.events.filter(({ event }) => event === 'docgen');
      expect(events.map(({ record_failure }) => record_failure)).toEqual([
        expect.stringMatching(/^DB_BUSY/),
        expect.stringMatching(/^DB_BUSY/),
      ]);
    });
  });

  it('makes its table once, however many open it at the same time', async () => {
    const fresh = new DocgenRig();
    const desks = await Promise.all([fresh.desk(), fresh.desk()]);
    expect(await Promise.all(desks.map(({ docs }) => docs.status()))).toEqual([[], []]);
    await fresh.close();
  });
});
