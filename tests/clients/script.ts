/** What the model says to a coding client: each answer to a mark in the question, or in what a tool returned. */
import { join } from 'node:path';
import type { ScriptedAnswer } from '../e2e/scripted-process.js';

interface Step {
  readonly match: string;
  readonly thought: string;
  readonly answer: string;
}

function call(name: string, args: object): string {
  return `<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`;
}

const bash = (command: string) => call('Bash', { command, description: 'Run it' });

// The edit leaves `replace_all` out, which the client writes out when it sends the call again.
const stepsIn = (file: string): readonly Step[] => [
  {
    match: '[u1]',
    thought: 'Look first.',
    answer: `I read it.\n${call('Read', { file_path: file })}`,
  },
  {
    match: '# marker-calc',
    thought: 'It subtracts.',
    answer: `It subtracts.\n${call('Edit', { file_path: file, old_string: '2 - 3', new_string: '2 + 3' })}`,
  },
  { match: 'updated successfully', thought: 'Run it.', answer: bash('cat calc.py; echo "[b1]" done') },
  {
    match: '[b1] done',
    thought: 'It says 5.',
    answer: 'Mended: it says 5 now. All of é, 包 and "quotes" stay.',
  },
  {
    match: '[u2]',
    thought: 'Somebody may look.',
    answer: `I send somebody.\n${call('Agent', {
      description: 'Search for TODO',
      prompt: 'Find all TODOs [s1]',
      subagent_type: 'general-purpose',
    })}`,
  },
  { match: '[s1]', thought: 'Search.', answer: bash('echo "[s2]" end') },
  { match: '[s2] end', thought: 'One.', answer: 'There is one TODO [s3].' },
  { match: '[s3]', thought: 'Good.', answer: 'Somebody found one TODO.' },
  {
    match: '[u3]',
    thought: 'Both at once.',
    answer: `Two at once.\n${call('Read', { file_path: file })}\n${bash('echo "[b3]" end')}`,
  },
  { match: '[b3] end', thought: 'Done.', answer: 'Both are done.' },
  {
    match: '[long]',
    thought: 'Long.',
    answer: Array.from({ length: 6000 }, (_, i) => `word${i}`).join(' '),
  },
  { match: '[after]', thought: 'Go on.', answer: 'I go on.' },
];

/** Later steps come first: a prompt holds what earlier ones added, too. */
export function codingScript(project: string, thinks: boolean): ScriptedAnswer[] {
  const title = { match: 'Write the title', answer: '{"title": "Repair calc"}' };
  const answers = stepsIn(join(project, 'calc.py')).map(({ match, thought, answer }) => ({
    match,
    answer: thinks ? `<think>\n${thought}\n</think>\n\n${answer}` : answer,
  }));
  return [title, ...answers.reverse()];
}
