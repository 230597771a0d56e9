/** A model as Anthropic's clients expect it, to stand beside what others read. Pure. */
import type { EngineInfo } from '../../engine/types.js';
import type { ServedModel } from '../service.js';

export function modelInfo(model: ServedModel, info: EngineInfo): object {
  return {
    type: 'model',
    display_name: info.name,
    created_at: new Date(model.created * 1000).toISOString(),
    max_input_tokens: info.contextTokens,
    max_tokens: info.contextTokens,
    capabilities: null,
    lifecycle: 'active',
    line: null,
    deprecated_at: null,
    retires_at: null,
  };
}

/** What their lists have beside the data: one page with everything. */
export function modelPage(ids: readonly string[]): object {
  return { has_more: false, first_id: ids.at(0) ?? null, last_id: ids.at(-1) ?? null };
}
