import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { callsOf, editableOf, keyOf, readDraft } from '../../../ts/ui/approvals/draft.js';

const script = {
  script: 'ls\npwd',
  base_dir: '/work',
  timeout_s: 60,
  is_quiet: false,
  environment: null,
};

describe('a payload as fields', () => {
  it('types each field by what it holds', () => {
    expect(editableOf(script).map(({ label, kind }) => [label, kind])).toEqual([
      ['script', 'text'],
      ['base dir', 'line'],
      ['timeout s', 'number'],
      ['is quiet', 'flag'],
      ['environment', 'json'],
    ]);
  });

  it('is no edit as long as nothing is another', () => {
    expect(readDraft(script, {}).edits).toBeUndefined();
    expect(
      readDraft(script, { [keyOf(['script'])]: 'ls\npwd', [keyOf(['environment'])]: 'null' }).edits,
    ).toBe(undefined);
  });

  it('sends the changed fields alone, with their types', () => {
    const draft = {
      [keyOf(['timeout_s'])]: '90',
      [keyOf(['is_quiet'])]: 'true',
      [keyOf(['environment'])]: '{"CI": "1"}',
    };
    expect(readDraft(script, draft).edits).toEqual({
      timeout_s: 90,
      is_quiet: true,
      environment: { CI: '1' },
    });
  });

  it('names what cannot be read, and leaves it out', () => {
    const draft = { [keyOf(['timeout_s'])]: 'soon', [keyOf(['environment'])]: '{CI' };
    const { edits, problems } = readDraft(script, draft);
    expect(edits).toBeUndefined();
    expect(Object.keys(problems)).toEqual([keyOf(['timeout_s']), keyOf(['environment'])]);
  });

  it('keeps the line ends of a text that an edit does not touch', () => {
    const dos = { content: 'one\r\ntwo\r\n' };
    const key = keyOf(['content']);
    expect(readDraft(dos, { [key]: 'one\ntwo\n' }).edits).toBeUndefined();
    expect(readDraft(dos, { [key]: 'one\n2\n' }).edits).toEqual({ content: 'one\r\n2\r\n' });
  });

  it('gives back any payload unchanged when all that stands in the fields is written back', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ depthSize: 'small' })), (payload) => {
        const draft = Object.fromEntries(editableOf(payload).map(({ key, shown }) => [key, shown]));
        const read = readDraft(payload, draft);
        expect(read.edits).toBeUndefined();
        expect(read.payload).toBe(payload);
      }),
    );
  });

  it('takes any text that is written into a text, and nothing else of the payload with it', () => {
    fc.assert(
      fc.property(fc.string(), (written) => {
        const { payload, edits } = readDraft(script, { [keyOf(['script'])]: written });
        expect(payload).toEqual({ ...script, script: written });
        expect(edits).toEqual(written === script.script ? undefined : { script: written });
      }),
    );
  });
});

describe('a step', () => {
  const step = {
    calls: [
      { position: 0, tool: 'write_file', payload: { path: '/a', content: 'x' } },
      { position: 2, tool: 'run_script', payload: { script: 'ls' } },
    ],
    ticket_id: 'api',
  };

  it('is its calls', () => {
    expect(callsOf(step)?.map(({ tool }) => tool)).toEqual(['write_file', 'run_script']);
    expect(callsOf({ calls: 'none' })).toBeUndefined();
    expect(callsOf({ calls: [{ tool: 1 }] })).toBeUndefined();
  });

  it('is nothing that only looks like one: all of that is shown', () => {
    const call = { position: 0, tool: 'ls', payload: {} };
    const payloads = [
      { calls: [{ ...call, command: 'rm -rf /' }] },
      { calls: [call], force: true },
      { calls: [{ ...call, position: { command: 'rm -rf /' } }] },
    ];
    for (const payload of payloads) {
      const fields = editableOf(payload).map(({ label, shown }) => [label, shown]);
      expect(fields).toEqual(
        Object.entries(payload).map(([name, value]) => [name, JSON.stringify(value, null, 2)]),
      );
    }
  });

  it('is edited call by call, and in nothing else', () => {
    const { edits } = readDraft(step, { [keyOf(['calls', 1, 'payload', 'script'])]: 'pwd' });
    expect(edits).toEqual({ calls: [step.calls[0], { ...step.calls[1], payload: { script: 'pwd' } }] });
    expect(readDraft(step, { [keyOf(['ticket_id'])]: 'docs' }).edits).toBeUndefined();
  });
});
