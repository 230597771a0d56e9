/** Tools of several systems in one box, and what is kept for a client. */
import { describe, expect, it, vi } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { Connection } from '../../../ts/tools/connection.js';
import {
  type AnyCaller,
  actingTool,
  type Caller,
  lookingTool,
  openTool,
  type Tool,
} from '../../../ts/tools/tool.js';
import { type Fault, Toolbox, type ToolSet } from '../../../ts/tools/toolbox.js';

const nothing = { type: 'object', properties: {}, required: [], additionalProperties: false } as const;
const looks = (name: string, run: () => Promise<object> = async () => ({ name })): Tool =>
  lookingTool({
    name,
    title: name,
    description: name,
    inputSchema: nothing,
    hints: { readOnly: true, destructive: false, idempotent: true },
    run,
  });
const set = (names: string[], more: Partial<ToolSet> = {}): ToolSet => ({
  topic: names.join(' and '),
  instructions: `Use ${names.join(', ')}.`,
  tools: names.map((name) => looks(name)),
  maxRequestBytes: 10,
  ...more,
});
const onFault = () => undefined;

describe('a toolbox', () => {
  it('offers the tools of all systems, and takes the largest request of any', async () => {
    const box = new Toolbox([set(['a', 'b']), set(['c'], { maxRequestBytes: 99 })], { onFault });
    expect(box.list.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
    expect(box.maxRequestBytes).toBe(99);
    expect(box.topics).toEqual(['a and b', 'c']);
    expect(box.instructions).toBe('Use a, b.\n\nUse c.');
    expect(await box.call('c', {})).toEqual({ name: 'c' });
  });

  it('knows tools by other names, and the nearest to one that it does not know', async () => {
    const box = new Toolbox([set(['append_entry'], { aliases: { log: 'append_entry' } })], { onFault });
    expect(await box.call('log', {})).toEqual({ name: 'append_entry' });
    expect(() => box.get('append_entri')).toThrow(/Did you mean "append_entry"/);
    expect(() => box.get('constructor')).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });

  it('takes no name twice, and no alias of what is not there', () => {
    const make = (...sets: ToolSet[]) => new Toolbox(sets, { onFault });
    expect(() => make(set(['a']), set(['a']))).toThrow(/a is there twice/);
    expect(() => make(set(['a']), set(['b'], { aliases: { a: 'b' } }))).toThrow(/a is there twice/);
    expect(() => make(set(['a'], { aliases: { c: 'b' } }))).toThrow(/c is there twice, or an alias of none/);
  });

  it('tells callers an id instead of what nobody foresaw', async () => {
    const faults: Fault[] = [];
    const secret = new TypeError('secret');
    const broken = set([], { tools: [looks('x', () => Promise.reject(secret))] });
    const box = new Toolbox([broken], { onFault: (fault) => faults.push(fault) });
    const error = await box.call('x', {}).catch((caught: StompError) => caught);
    expect(error).toMatchObject({
      code: 'INTERNAL_ERROR',
      fields: { correlation_id: faults[0]?.correlationId },
    });
    expect((error as StompError).message).not.toContain('secret');
    expect(faults).toMatchObject([{ tool: 'x', error: secret }]);
  });
});

describe('a tool', () => {
  const definition = {
    name: 'x',
    title: 'x',
    description: 'x',
    inputSchema: {
      ...nothing,
      properties: { old_text: { type: 'string', description: 'A text' } },
    },
    hints: { readOnly: false, destructive: false, idempotent: true },
  } as const;
  const ann: Caller = { agentId: 'ann', sessionId: 's' };

  it('that acts wants to know for whom; one that is open does not', async () => {
    const run = async (_: object, caller?: AnyCaller) => ({ agent: caller?.agentId ?? null });
    const acting = actingTool({ ...definition, run });
    await expect(acting.call({}, undefined)).rejects.toThrow(/Say who you are/);
    await expect(acting.call({}, { onActor: () => undefined })).rejects.toThrow(/Say who you are/);
    expect(await acting.call({}, ann)).toEqual({ agent: 'ann' });
    const open = openTool({ ...definition, run });
    expect(await open.call({}, undefined)).toEqual({ agent: null });
    expect(await open.call({}, ann)).toEqual({ agent: 'ann' });
  });

  it('names what a library refuses by its name on the wire', async () => {
    const refusal = new StompError('INVALID_REQUEST', 'no', { fields: { field: 'oldText' } });
    const tool = openTool({ ...definition, run: () => Promise.reject(refusal) });
    await expect(tool.call({}, undefined)).rejects.toMatchObject({ fields: { field: 'old_text' } });
  });
});

describe('what is kept for a client', () => {
  it('is made once, and given back at the end', async () => {
    const connection = new Connection();
    const giveBack = vi.fn(async () => undefined);
    const make = vi.fn(() => ({ giveBack }));
    expect(connection.kept(make)).toBe(connection.kept(make));
    expect(make).toHaveBeenCalledTimes(1);
    await connection.giveBack();
    await connection.giveBack();
    expect(giveBack).toHaveBeenCalledTimes(1);
  });

  it('is given back also when something else cannot be', async () => {
    const connection = new Connection();
    const giveBack = vi.fn(async () => undefined);
    connection.kept(() => ({ giveBack: () => Promise.reject(new Error('busy')) }));
    connection.kept(() => ({ giveBack }));
    connection.kept(() => ({}));
    await expect(connection.giveBack()).rejects.toThrow('busy');
    expect(giveBack).toHaveBeenCalledTimes(1);
  });
});
