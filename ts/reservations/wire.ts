/** Results as the command line, MCP and HTTP tell them: names in snake case, times in ISO 8601. Pure. */
import { snakeCase } from '../tools/parameters.js';
import type { MergeAnswer } from './code/code.js';
import type { PlannedContent, PlannedFile } from './merge/types.js';
import { isoTime } from './records/iso-time.js';

/** Objects whose keys are somebody's own names. */
const verbatim: ReadonlySet<string> = new Set(['leases']);

/** Plain data only. */
export function toWire(value: object): Record<string, unknown> {
  return ofObject(value);
}

/**
 * A plan of a merge.
 * @param withContent the texts of merged files too, as a new folder would hold them
 */
export function mergeToWire(plan: MergeAnswer, withContent: boolean): Record<string, unknown> {
  const { files, ...rest } = plan;
  const isClean = plan.conflicts.every(({ isResolved }) => isResolved);
  return { is_clean: isClean, ...toWire(rest), files: files.map((file) => fileToWire(file, withContent)) };
}

function fileToWire({ content, marked, ...file }: PlannedFile, withContent: boolean): unknown {
  return { ...toWire(file), ...(withContent ? contentToWire(content ?? marked) : {}) };
}

function contentToWire(content: PlannedContent | undefined): object {
  if (content === undefined) return {};
  return 'id' in content ? { blob: content.id } : { text: content.text, encoding: content.encoding };
}

function ofValue(value: unknown): unknown {
  if (value instanceof Date) return isoTime(value);
  if (Array.isArray(value)) return value.map(ofValue);
  return typeof value === 'object' && value !== null ? ofObject(value) : value;
}

function ofObject(value: object): Record<string, unknown> {
  const entries = Object.entries(value).filter(([, content]) => content !== undefined);
  return Object.fromEntries(
    entries.map(([key, content]) => [snakeCase(key), verbatim.has(key) ? content : ofValue(content)]),
  );
}
