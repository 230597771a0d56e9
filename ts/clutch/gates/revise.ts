/** What a person has changed at a gate, read by whoever reads what the model writes: the tool. */
import { refuse } from '../../arguments.js';
import { reviseStep } from '../runs/step-gate.js';
import { askTool } from '../tools/ask.js';
import type { Payload, Preview, RunTool, ToolScope } from '../tools/run-tool.js';
import { spawnName } from '../tools/spawn.js';
import type { Toolset } from '../tools/toolset.js';
import type { Gate } from './gate.js';

export interface Revised {
  readonly payload: Payload;
  readonly preview: Preview;
}

/** @throws StompError INVALID_REQUEST, PATH_DENIED */
export async function revise(gate: Gate, edits: Payload, tools: Toolset, scope: ToolScope): Promise<Revised> {
  if (gate.kind === 'step') return reviseStep(gate, edits, { tools, scope });
  // Also of a question that no tool has asked.
  if (gate.kind === 'ask') return revisedBy(askTool(), gate.payload, edits, scope);
  if (gate.kind === 'spawn') return reviseSpawn(gate, edits, tools.get(spawnName), scope);
  return revisedBy(tools.get(gate.tool ?? ''), gate.payload, edits, scope);
}

/** A ticket's gate says which one it is; that stays. */
async function reviseSpawn(
  { payload: before }: Gate,
  edits: Payload,
  tool: RunTool,
  scope: ToolScope,
): Promise<Revised> {
  const { ticket_id: ticket, ...rest } = before;
  if (edits.ticket_id !== undefined && edits.ticket_id !== ticket) {
    refuse('edits.ticket_id', edits.ticket_id, 'left as it is');
  }
  const { ticket_id: _, ...changed } = edits;
  const { payload, preview } = await revisedBy(tool, rest, changed, scope);
  return { payload: ticket === undefined ? payload : { ticket_id: ticket, ...payload }, preview };
}

async function revisedBy(tool: RunTool, before: Payload, edits: Payload, scope: ToolScope): Promise<Revised> {
  const payload = await tool.edit(before, edits, scope);
  return { payload, preview: await tool.preview(payload, scope) };
}
