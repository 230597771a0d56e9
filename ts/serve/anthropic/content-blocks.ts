/**
 * The content blocks of Anthropic's messages. Text only: images, documents and what belongs to tools of
 * Anthropic's servers are refused by name. Pure.
 */
import type { ToolCall } from '../../engine/types.js';
import type { StompError } from '../../errors.js';
import { Fields } from '../fields.js';

export type Block =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly thinking: string }
  | { readonly type: 'tool_use'; readonly call: ToolCall }
  | { readonly type: 'tool_result'; readonly callId: string; readonly text: string; readonly field: string };

type BlockType = Block['type'] | 'redacted_thinking';

const BLOCKS_OF_ROLE = {
  user: ['text', 'tool_result'],
  assistant: ['text', 'thinking', 'redacted_thinking', 'tool_use'],
  system: ['text'],
} as const satisfies Record<string, readonly BlockType[]>;

export type Role = keyof typeof BLOCKS_OF_ROLE;

/**
 * A text, or a list of blocks, that may stand in a message of `role`.
 * @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD
 */
export function readContent(fields: Fields, field: string, role: Role): readonly Block[] {
  const content = fields.raw(field);
  if (typeof content === 'string') return [{ type: 'text', text: content }];
  if (content === undefined) throw fields.missing(field, 'a text or a list of content blocks');
  if (!Array.isArray(content)) throw fields.invalid(field, content, 'a text or a list of content blocks');
  return content.flatMap((entry: unknown, index) => {
    const block = new Fields(entry, `${fields.name(field)}[${index}]`);
    const read = readBlock(block, role);
    block.end();
    return read;
  });
}

/** Texts alone, as `system` and the results of tools hold them. */
export function readTexts(fields: Fields, field: string): readonly string[] {
  return readContent(fields, field, 'system').flatMap((block) => (block.type === 'text' ? [block.text] : []));
}

function readBlock(fields: Fields, role: Role): readonly Block[] {
  const type = fields.text('type');
  const allowed: readonly BlockType[] = BLOCKS_OF_ROLE[role];
  if (type === undefined) throw fields.missing('type', `one of ${allowed.join(', ')}`);
  const known = allowed.find((one) => one === type);
  if (known === undefined) throw wrongType(fields, type, role);
  readCacheControl(fields);
  return readers[known](fields);
}

function wrongType(fields: Fields, type: string, role: Role): StompError {
  const isServed = Object.values(BLOCKS_OF_ROLE).some((types) => types.some((one) => one === type));
  const shown = JSON.stringify(type.slice(0, 60));
  if (isServed) return fields.invalid('type', type, `one of ${BLOCKS_OF_ROLE[role].join(', ')} here`);
  return fields.unsupported('type', ` with the value ${shown}`);
}

const readers: Readonly<Record<BlockType, (fields: Fields) => readonly Block[]>> = {
  text: (fields) => {
    fields.refuse({ citations: isEmptyList });
    return [{ type: 'text', text: required(fields, 'text') }];
  },
  thinking: (fields) => {
    fields.text('signature');
    return [{ type: 'thinking', thinking: required(fields, 'thinking') }];
  },
  // Encrypted for Anthropic's own models: there is nothing in it that could be read here.
  redacted_thinking: (fields) => {
    required(fields, 'data');
    return [];
  },
  tool_use: (fields) => {
    fields.refuse({ caller: isDirectCaller, toolset_name: () => false });
    const call = { id: required(fields, 'id'), name: required(fields, 'name') };
    return [{ type: 'tool_use', call: { ...call, arguments: JSON.stringify(readObject(fields, 'input')) } }];
  },
  tool_result: (fields) => {
    fields.refuse({ toolset_name: () => false });
    const texts = fields.raw('content') === undefined ? [] : readTexts(fields, 'content');
    const text = texts.join('\n');
    // Templates know no failed results, so it is said in the text.
    const shown = fields.flag('is_error') ? `Error: ${text}` : text;
    const callId = required(fields, 'tool_use_id');
    return [{ type: 'tool_result', callId, text: shown, field: fields.name('tool_use_id') }];
  },
};

/** Caching needs no marks here; what is no mark at all is still refused. */
export function readCacheControl(fields: Fields): void {
  const value = fields.raw('cache_control');
  if (value === undefined) return;
  const mark = new Fields(value, fields.name('cache_control'));
  if (mark.choice('type', ['ephemeral']) === undefined) throw mark.missing('type', '"ephemeral"');
  mark.choice('ttl', ['5m', '1h']);
  mark.text('scope');
  mark.end();
}

/** @throws StompError INVALID_REQUEST when it is absent or no object. */
export function readObject(fields: Fields, field: string): Readonly<Record<string, unknown>> {
  const value = fields.raw(field);
  if (value === undefined) throw fields.missing(field, 'an object');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw fields.invalid(field, value, 'an object');
}

export function required(fields: Fields, field: string): string {
  const text = fields.text(field);
  if (text === undefined) throw fields.missing(field, 'a text');
  return text;
}

function isDirectCaller(value: unknown): boolean {
  return JSON.stringify(value) === '{"type":"direct"}';
}

export function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
