/** Arguments of the tools that write and read progress logs. */
import { entryPriorities, entryStatuses } from '../entry.js';
import { entryFields } from '../query-arguments.js';
import { textModes } from '../query-types.js';
import { meta, oneOrMore, tags, text, whole } from './parameters.js';

const latestMs = 8.64e15;
const mostItems = 1000;

const moment = (description: string) =>
  ({ description, anyOf: [text(description), whole(description, -latestMs, latestMs)] }) as const;

/** What an entry may say besides its message. */
export const entryContent = {
  status: {
    type: 'string',
    enum: entryStatuses,
    description: 'How things stand. Default: info',
  },
  priority: {
    type: 'string',
    enum: entryPriorities,
    description: 'Default: high for error and bug, low for info, medium for the others',
  },
  category: text('A word for what it belongs to'),
  tags,
  confidence: { type: 'number', description: 'How sure you are, from 0 to 1', minimum: 0, maximum: 1 },
  meta,
  emoji: text('Default: that of the status'),
  timestamp: moment('When it happened: an ISO date-time, or milliseconds since 1970. Default: now'),
  id: text('An id of your own; an entry that is there already is not written again. By default one is made'),
} as const;

/** Messages, and whole entries. */
export const items = {
  type: 'array',
  description: 'Several entries at once, all or none: messages, or objects with what each has of its own',
  items: {
    description: 'An entry',
    anyOf: [
      text('Its message'),
      {
        type: 'object',
        description: 'An entry',
        properties: { message: text('What happened'), ...entryContent },
        required: ['message'],
        additionalProperties: false,
      },
    ],
  },
  minItems: 1,
  maxItems: mostItems,
} as const;

/** What entries must be like, all of it at once. */
export const filterContent = {
  start: moment('Not before: a date YYYY-MM-DD, an ISO date-time, or milliseconds since 1970'),
  end: moment('Not after; the whole day of a date belongs to it'),
  message: text('What the message contains, is, or matches'),
  mode: {
    type: 'string',
    enum: textModes,
    description: 'How message is meant; regex is RE2. Default: substring',
  },
  case_sensitive: { type: 'boolean', description: 'Tell capital letters from small ones. Default: false' },
  status: oneOrMore('Any of these', { type: 'string', enum: entryStatuses, description: 'A status' }),
  agents: oneOrMore('By any of these', text('An agent')),
  emoji: oneOrMore('With any of these', text('An emoji')),
  priority: oneOrMore('Any of these', { type: 'string', enum: entryPriorities, description: 'A priority' }),
  category: oneOrMore('Any of these', text('A category')),
  tags: oneOrMore('With any of these', text('A tag')),
  meta: {
    type: 'object',
    description: 'Each of these names must have this value',
    additionalProperties: true,
  },
  min_confidence: { type: 'number', description: 'At least so sure', minimum: 0, maximum: 1 },
} as const;

/** How the result is cut. */
export const paging = {
  limit: whole('Entries beyond so many count as if they were not there', 1),
  page: whole('Which page, from 1. Default: 1', 1),
  page_size: whole('Entries on a page. Default: 50', 1, 200),
  cursor: text('next_cursor of the page before, instead of page'),
  fields: oneOrMore('Only these of each entry', {
    type: 'string',
    enum: entryFields,
    description: 'A field',
  }),
} as const;

export const project = text('The project. Default: what the agent works on');
