/** Errors as each protocol words them. Pure. */
import { anyOf, integer, nullable, object, type Schema, text } from './shapes.js';

const code = text('What went wrong; stable', { examples: ['INVALID_REQUEST'] });
const message = text('What went wrong and what to do about it, for people');

export const errorSchemas: Readonly<Record<string, Schema>> = {
  Error: object({
    error: object({
      message,
      type: text('Kind of error, as OpenAI names them'),
      param: nullable(text('The field that is wrong')),
      code,
      'fields?': object({}, { description: 'Facts about it, by code' }),
    }),
  }),
  ToolError: object({
    error: object({ code, message }, { description: 'Facts about it stand beside, by code' }),
  }),
  AnthropicError: object({
    type: { const: 'error' },
    error: object({ type: text('Kind of error, as Anthropic names them'), message, 'code?': code }),
    'request_id?': nullable(text('Names the request in the log')),
  }),
  RpcError: object({
    jsonrpc: { const: '2.0' },
    error: object({ code: integer('JSON-RPC error code'), message }),
    'id?': anyOf({ type: ['string', 'integer', 'null'] }),
  }),
  Unready: object({
    status: text('In which phase it is'),
    reason: text('Why, for people'),
  }),
};
