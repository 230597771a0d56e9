import { describe, expect, it } from 'vitest';
import { Conversations } from '../../../ts/engine/conversations.js';
import { Transcript } from '../../../ts/engine/text/transcript.js';
import type { StompError } from '../../../ts/errors.js';

/** A transcript that holds this text. */
function saying(text: string): Transcript {
  const prompt = { text, tokens: [1], seams: [], bos: false, keptTokens: 0 };
  return Transcript.after([{ role: 'user', content: text.slice(0, 20) }], prompt, {
    text: '',
    tokens: [2],
    whole: true,
  });
}

class Store {
  readonly kept = new Map<string, string>();
  readonly saves: string[] = [];
  reads = 0;
  /** Saves wait until this is called. */
  release: (() => void) | undefined;
  hold = false;

  async save(agent: string, transcript: string): Promise<void> {
    this.saves.push(transcript);
    if (this.hold) {
      await new Promise<void>((resolve) => {
        this.release = resolve;
      });
    }
    this.kept.set(agent, transcript);
  }

  async transcript(agent: string): Promise<string> {
    this.reads++;
    const kept = this.kept.get(agent);
    if (kept === undefined) throw Object.assign(new Error('nobody'), { code: 'AGENT_NOT_FOUND' });
    return kept;
  }
}

function conversations(store = new Store()) {
  const warnings: StompError[] = [];
  const onWarning = (warning: StompError) => warnings.push(warning);
  return { store, warnings, all: new Conversations({ engine: store, vocabSize: 100, onWarning }) };
}

const later = () => new Promise((resolve) => setImmediate(resolve));

describe('Conversations', () => {
  it('start empty for an agent that nobody knows', async () => {
    const { all, warnings } = conversations();
    expect(await all.read('ann')).toBe(Transcript.empty);
    expect(warnings).toEqual([]);
  });

  it('start empty, with a warning, when what was kept cannot be read', async () => {
    const { all, store, warnings } = conversations();
    store.kept.set('ann', '{"version":99}');
    expect(await all.read('ann')).toBe(Transcript.empty);
    expect(warnings).toMatchObject([{ code: 'CACHE_CORRUPT' }]);
  });

  it('start empty, with a warning, when a later version kept them', async () => {
    const { all, store, warnings } = conversations();
    store.transcript = () =>
      Promise.reject(Object.assign(new Error('version 9'), { code: 'INCOMPATIBLE_CACHE' }));
    expect(await all.read('ann')).toBe(Transcript.empty);
    expect(warnings).toMatchObject([{ code: 'INCOMPATIBLE_CACHE' }]);
  });

  it('pass on other failures to read', async () => {
    const { all, store } = conversations();
    store.transcript = () => Promise.reject(Object.assign(new Error('closing'), { code: 'SHUTTING_DOWN' }));
    await expect(all.read('ann')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('share one save between turns that end while another save runs', async () => {
    const { all, store } = conversations();
    store.hold = true;
    all.write('ann', saying('one'));
    for (const text of ['two', 'three', 'four']) all.write('ann', saying(text));
    await later();
    store.hold = false;
    store.release?.();
    await all.settleAll();
    expect(store.saves).toHaveLength(2);
    expect(store.kept.get('ann')).toContain('four');
  });

  it('save what is newest when asked to', async () => {
    const { all, store } = conversations();
    store.hold = true;
    all.write('ann', saying('one'));
    all.write('ann', saying('two'));
    const saved = all.save('ann');
    await later();
    store.hold = false;
    store.release?.();
    await saved;
    expect(store.kept.get('ann')).toContain('two');
  });

  it('do not bring a forgotten agent back', async () => {
    const { all, store } = conversations();
    store.hold = true;
    all.write('ann', saying('one'));
    all.write('ann', saying('two'));
    all.forget('ann');
    store.hold = false;
    store.release?.();
    await later();
    expect(store.saves).toHaveLength(1);
  });

  it('do not bring an agent back that was forgotten while it was read', async () => {
    const { all, store } = conversations();
    store.kept.set('ann', saying('secret').toJson());
    let resolve = (_: string): void => undefined;
    const promise = new Promise<string>((done) => {
      resolve = done;
    });
    store.transcript = () => promise;
    const reading = all.read('ann');
    all.forget('ann');
    resolve(saying('secret').toJson());
    expect((await reading).text).toBe('');
    expect((await all.read('ann')).text).toBe('');
  });

  it('keep nothing of an agent that cannot be saved because there is none', async () => {
    const { all, store, warnings } = conversations();
    store.save = () => Promise.reject(Object.assign(new Error('nobody'), { code: 'AGENT_NOT_FOUND' }));
    await expect(all.save('ann')).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
    await all.settleAll();
    expect(warnings).toEqual([]);
  });

  it('drop saved ones from memory beyond a bound, and read them again', async () => {
    const { all, store } = conversations();
    const large = 'x'.repeat(6_000_000);
    for (let i = 0; i < 6; i++) {
      all.write(`agent-${i}`, saying(`${i}${large}`));
      await later();
    }
    const before = store.reads;
    expect((await all.read('agent-5')).text.startsWith('5x')).toBe(true);
    expect(store.reads).toBe(before);
    expect((await all.read('agent-0')).text.startsWith('0x')).toBe(true);
    expect(store.reads).toBe(before + 1);
  });

  it('keep in memory whatever is not saved yet', async () => {
    const { all, store } = conversations();
    store.save = () => Promise.reject(Object.assign(new Error('full'), { code: 'CACHE_PERSISTENCE' }));
    const large = 'x'.repeat(6_000_000);
    for (let i = 0; i < 6; i++) all.write(`agent-${i}`, saying(`${i}${large}`));
    await later();
    expect((await all.read('agent-0')).text.startsWith('0x')).toBe(true);
    expect(store.reads).toBe(0);
  });
});
