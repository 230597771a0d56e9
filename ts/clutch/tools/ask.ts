/** A question to the person at the gate. The answer is what the person writes into the payload. */
import { refuse } from '../../arguments.js';
import { readArguments } from '../../tools/parameters.js';
import { text } from '../../tools/shapes.js';
import { outcomeOf } from './define-tool.js';
import type { Payload, RunTool } from './run-tool.js';

const mostChoices = 10;

const question = {
  type: 'object',
  properties: {
    question: text('What the person is asked'),
    choices: {
      type: 'array',
      description: 'Answers to choose from. Default: the person answers in words',
      items: text('An answer'),
      minItems: 0,
      maxItems: mostChoices,
    },
  },
  required: ['question'],
  additionalProperties: false,
} as const;

const reply = {
  type: 'object',
  properties: { answer: text('What the person answers') },
  required: ['answer'],
  additionalProperties: false,
} as const;

export function askTool(): RunTool {
  return {
    name: 'ask_person',
    description: 'Asks the person who watches over this run, and waits for the answer.',
    parameters: { ...question },
    kind: 'ask',
    // The model writes the question, and cannot write the answer.
    prepare: async (args) => {
      const { question: asked, choices = [] } = readArguments(question, args);
      return { question: asked, choices, answer: null };
    },
    edit: async (payload, edits) => ({ ...payload, answer: checkedAnswer(payload, edits) }),
    preview: async (payload) => ({ title: String(payload.question) }),
    run: (payload, scope) =>
      outcomeOf(async () => {
        const { answer } = payload;
        return typeof answer === 'string'
          ? answer
          : { output: 'The person has let the question pass without an answer.', failed: true };
      }, scope),
  };
}

function checkedAnswer(payload: Payload, edits: Payload): string {
  const { answer } = readArguments(reply, edits);
  const choices = payload.choices as readonly string[];
  if (choices.length === 0 || choices.includes(answer)) return answer;
  return refuse('answer', answer, `one of ${choices.join(', ')}`);
}
