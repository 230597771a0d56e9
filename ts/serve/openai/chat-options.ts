/** What a chat may ask for beside its messages, as OpenAI names it. Shared by all routes that chat. Pure. */
import type { ChatOptions, ReasoningOptions, ResponseFormat } from '../../engine/types.js';
import type { FieldNames } from '../field-names.js';
import { Fields } from '../fields.js';
import { readSampling } from '../sampling.js';
import { readSchema, readTools } from './tools.js';

const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;
const FORMATS = ['text', 'json_object', 'json_schema'] as const;
const FORMAT_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_TOP_LOGPROBS = 20;
const MAX_BUDGET_TOKENS = 16_777_216;

/** What the engine calls otherwise. */
export const CHAT_FIELD_NAMES: FieldNames = [
  [/^responseFormat\.schema/, 'response_format.json_schema.schema'],
  [/^logitBias/, 'logit_bias'],
];

/** Only what was given is set. @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readChatOptions(fields: Fields): ChatOptions {
  const options: ChatOptions = { ...readSampling(fields), ...readTools(fields) };
  const responseFormat = readResponseFormat(fields);
  if (responseFormat !== undefined) options.responseFormat = responseFormat;
  const reasoning = readReasoning(fields);
  if (reasoning !== undefined) options.reasoning = reasoning;
  const topLogprobs = readTopLogprobs(fields);
  if (topLogprobs !== undefined) options.topLogprobs = topLogprobs;
  return options;
}

function readResponseFormat(fields: Fields): ResponseFormat | undefined {
  const raw = fields.raw('response_format');
  if (raw === undefined) return undefined;
  const format = new Fields(raw, fields.name('response_format'));
  const type = format.choice('type', FORMATS);
  if (type === undefined) throw format.missing('type', 'one of "text", "json_object", "json_schema"');
  const schema = type === 'json_schema' ? readNamedSchema(format) : undefined;
  format.end();
  if (type === 'text') return undefined;
  return schema ? { type: 'json_schema', schema } : { type: 'json_object' };
}

/** The answer keeps to the schema whether `strict` is set or not. */
function readNamedSchema(format: Fields): NonNullable<ReturnType<typeof readSchema>> {
  const raw = format.raw('json_schema');
  if (raw === undefined) throw format.missing('json_schema', 'an object with name and schema');
  const fields = new Fields(raw, format.name('json_schema'));
  const name = fields.text('name');
  const allowed = '1 to 64 of the characters A-Z a-z 0-9 _ -';
  if (name === undefined) throw fields.missing('name', allowed);
  if (!FORMAT_NAME.test(name)) throw fields.invalid('name', name, allowed);
  fields.text('description');
  fields.flag('strict');
  const schema = readSchema(fields, 'schema');
  if (schema === undefined) throw fields.missing('schema', 'a JSON Schema, as an object');
  fields.end();
  return schema;
}

/** Models here think or do not; how hard, they decide themselves. */
function readReasoning(fields: Fields): ReasoningOptions | undefined {
  const effort = fields.choice('reasoning_effort', EFFORTS);
  const budgetTokens = fields.number('reasoning_budget_tokens', {
    min: 1,
    max: MAX_BUDGET_TOKENS,
    integer: true,
  });
  if (effort === undefined && budgetTokens === undefined) return undefined;
  return {
    ...(effort === undefined ? {} : { enabled: effort !== 'none' && effort !== 'minimal' }),
    ...(budgetTokens === undefined ? {} : { budgetTokens }),
  };
}

function readTopLogprobs(fields: Fields): number | undefined {
  const wanted = fields.flag('logprobs') ?? false;
  const top = fields.number('top_logprobs', { min: 0, max: MAX_TOP_LOGPROBS, integer: true });
  if (wanted) return top ?? 0;
  if (top) throw fields.invalid('top_logprobs', top, 'left out unless "logprobs" is true');
  return undefined;
}
