/** What `/v1/messages` and `/v1/messages/count_tokens` have in common: everything that makes the prompt. Pure. */
import type { ChatMessage, ChatOptions, ReasoningOptions, ResponseFormat } from '../../engine/types.js';
import { Fields, type Neutral } from '../fields.js';
import { isEmptyList, readCacheControl, readObject, required } from './content-blocks.js';
import { readConversation } from './conversation.js';
import { readTools, type ToolOptions } from './tool-fields.js';

/** Whether the answer shows thoughts, their signature alone, or nothing of them. */
export type ThinkingDisplay = 'full' | 'omitted' | 'none';

export interface PromptRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly options: ToolOptions & Pick<ChatOptions, 'reasoning' | 'responseFormat'>;
  readonly thinking: ThinkingDisplay;
  /** Whether `context_management` was there: the answer then says what was edited, which is nothing. */
  readonly editsContext: boolean;
}

/** Fields of the protocol that are not served, with the values that ask for nothing; in the order of the reference. */
const UNSUPPORTED: Readonly<Record<string, Neutral>> = {
  billing_policy: never,
  compaction: never,
  mcp_servers: isEmptyList,
  speed: (value) => value === 'standard',
  betas: isEmptyList,
  user_profile_id: never,
  workspace_id: never,
};

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function readPrompt(fields: Fields): PromptRequest {
  const model = required(fields, 'model');
  const messages = readConversation(fields);
  const tools = readTools(fields);
  readCacheControl(fields);
  const { reasoning, display } = readThinking(fields);
  const responseFormat = readFormat(fields);
  const editsContext = readContextManagement(fields);
  fields.refuse(UNSUPPORTED);
  return {
    model,
    messages,
    options: {
      ...tools,
      ...(reasoning ? { reasoning } : {}),
      ...(responseFormat ? { responseFormat } : {}),
    },
    thinking: display,
    editsContext,
  };
}

/** Without the field there are no thoughts, as clients that do not ask for them expect none. */
function readThinking(fields: Fields): { reasoning?: ReasoningOptions; display: ThinkingDisplay } {
  const raw = fields.raw('thinking');
  if (raw === undefined) return { reasoning: { enabled: false }, display: 'none' };
  const config = new Fields(raw, 'thinking');
  const type = required(config, 'type');
  if (type === 'between_tools') throw config.unsupported('type', ` with the value "${type}"`);
  const known = config.choice('type', ['enabled', 'disabled', 'adaptive']);
  const budgetTokens = known === 'enabled' ? readBudget(config) : undefined;
  const display = known === 'disabled' ? undefined : config.choice('display', ['summarized', 'omitted']);
  config.end();
  if (known === 'disabled') return { reasoning: { enabled: false }, display: 'none' };
  const shown = display === 'omitted' ? 'omitted' : 'full';
  // Adaptive: the model decides, as its template has it.
  return budgetTokens === undefined
    ? { display: shown }
    : { reasoning: { enabled: true, budgetTokens }, display: shown };
}

function readBudget(config: Fields): number {
  const budget = config.number('budget_tokens', { min: 1, max: 16_777_216, integer: true });
  if (budget === undefined) throw config.missing('budget_tokens', 'a number of tokens');
  return budget;
}

/** `output_config.format`, or `output_format` as the beta had it. */
function readFormat(fields: Fields): ResponseFormat | undefined {
  const old = readJsonFormat(fields, 'output_format');
  const raw = fields.raw('output_config');
  if (raw === undefined) return old;
  const config = new Fields(raw, 'output_config');
  // A hint at how much to write; there is nothing here that it could turn.
  config.choice('effort', ['low', 'medium', 'high', 'xhigh', 'max']);
  const format = readJsonFormat(config, 'format');
  config.refuse({ task_budget: never });
  config.end();
  if (format && old) throw fields.invalid('output_format', 'both', 'left out beside "output_config.format"');
  return format ?? old;
}

function readJsonFormat(fields: Fields, field: string): ResponseFormat | undefined {
  const raw = fields.raw(field);
  if (raw === undefined) return undefined;
  const format = new Fields(raw, fields.name(field));
  const type = required(format, 'type');
  if (type !== 'json_schema') throw format.invalid('type', type, '"json_schema"');
  const schema = readObject(format, 'schema');
  format.end();
  return { type, schema };
}

/** The one edit that is served is the one that leaves everything: thoughts stay where the template keeps them. */
function readContextManagement(fields: Fields): boolean {
  const raw = fields.raw('context_management');
  if (raw === undefined) return false;
  const management = new Fields(raw, 'context_management');
  const edits = management.array('edits') ?? [];
  edits.forEach((entry, index) => {
    const edit = new Fields(entry, `context_management.edits[${index}]`);
    const type = required(edit, 'type');
    if (type !== 'clear_thinking_20251015') {
      throw edit.unsupported('type', ` with the value ${JSON.stringify(type.slice(0, 60))}`);
    }
    if (!keepsAll(edit.raw('keep'))) throw edit.unsupported('keep', ' with a value other than "all"');
    edit.end();
  });
  management.end();
  return true;
}

function keepsAll(keep: unknown): boolean {
  return keep === 'all' || JSON.stringify(keep) === '{"type":"all"}';
}

export function never(): boolean {
  return false;
}
