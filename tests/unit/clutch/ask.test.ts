import { expect, it } from 'vitest';
import { askTool } from '../../../ts/clutch/tools/ask.js';
import { openScope } from './tool-scope.js';

const tool = askTool();

it('asks a person, whose answer the model cannot write', async () => {
  const { scope } = await openScope();
  await expect(tool.prepare({ question: 'May I?', answer: 'yes' }, scope)).rejects.toMatchObject({
    code: 'INVALID_REQUEST',
  });
  const payload = await tool.prepare({ question: 'May I?' }, scope);
  expect(await tool.preview(payload, scope)).toEqual({ title: 'May I?' });
  expect(await tool.run(payload, scope)).toMatchObject({ failed: true });
  const answered = await tool.edit(payload, { answer: 'Not yet.' }, scope);
  expect(await tool.run(answered, scope)).toEqual({ output: 'Not yet.', failed: false });
  await expect(tool.edit(payload, { question: 'May you?' }, scope)).rejects.toThrow('question');
});

it('takes only one of the choices, where there are some', async () => {
  const { scope } = await openScope();
  const payload = await tool.prepare({ question: 'Which?', choices: ['a', 'b'] }, scope);
  await expect(tool.edit(payload, { answer: 'c' }, scope)).rejects.toThrow('one of a, b');
  expect(await tool.run(await tool.edit(payload, { answer: 'b' }, scope), scope)).toMatchObject({
    output: 'b',
  });
});
