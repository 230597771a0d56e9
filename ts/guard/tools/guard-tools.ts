/** The guard's tools by their names, as MCP and HTTP offer them. */
import { randomUUID } from 'node:crypto';
import { suggestion } from '../../config/nearest.js';
import { StompError } from '../../errors.js';
import { MaaslInternalError } from '../errors.js';
import { fileTools } from './file-tools.js';
import { lockTools } from './lock-tools.js';
import { lookingTools } from './looking-tools.js';
import type { Caller, GuardTool, ToolContext } from './tool.js';

/** Something went wrong that nobody foresaw; whoever called was told the id and no more. */
export interface Fault {
  readonly tool: string;
  readonly correlationId: string;
  readonly error: unknown;
}

/** What the tools work with, and who writes down what goes wrong. */
export interface GuardToolsOptions extends ToolContext {
  /** Writes faults down. */
  onFault(fault: Fault): void;
}

/** Other names that clients know them by. */
const aliases: Readonly<Record<string, string>> = {
  'llmc.locks': 'locks',
  'llmc.stomp_stats': 'stomp_stats',
  'llmc.docgen_status': 'docgen_status',
};

// In JSON text is seldom longer than twice its bytes, and base64 never is.
const longestEncoding = 2;
const otherArgumentsBytes = 64 << 10;

/** Every tool of a guard. */
export class GuardTools {
  /** In the order in which they are shown. */
  readonly list: readonly GuardTool[];
  readonly context: ToolContext;
  readonly #onFault: GuardToolsOptions['onFault'];

  constructor({ onFault, ...context }: GuardToolsOptions) {
    this.context = context;
    this.#onFault = onFault;
    this.list = [...lookingTools(context), ...lockTools(context), ...fileTools(context)];
  }

  /** Largest request, as JSON, that a tool can want: to write the largest file, as base64 if need be. */
  get maxRequestBytes(): number {
    return longestEncoding * this.context.files.maxFileBytes + otherArgumentsBytes;
  }

  /** @throws StompError NOT_FOUND naming the nearest one */
  get(name: string): GuardTool {
    const own = Object.hasOwn(aliases, name) ? aliases[name] : name;
    const found = this.list.find((tool) => tool.name === own);
    if (found) return found;
    const known = this.list.map((tool) => tool.name);
    const shown = JSON.stringify(name.slice(0, 100));
    throw new StompError(
      'NOT_FOUND',
      `There is no tool ${shown}.${suggestion(name, known)} There are ${known.join(', ')}.`,
      { fields: { field: 'name', value: name.slice(0, 100), allowed: known } },
    );
  }

  /**
   * @param caller may be left out where nothing is acquired or changed.
   * @throws StompError and nothing else; INTERNAL_ERROR with `correlation_id` for what nobody foresaw
   */
  async call(name: string, args: unknown, caller?: Caller): Promise<object> {
    const tool = this.get(name);
    try {
      return await tool.call(args, caller);
    } catch (error) {
      throw this.#told(tool.name, error);
    }
  }

  #told(tool: string, error: unknown): StompError {
    const known = error instanceof StompError;
    if (known && error.code !== 'INTERNAL_ERROR') return error;
    const correlationId = randomUUID();
    this.#onFault({ tool, correlationId, error });
    const message = known
      ? error.message
      : `${tool} failed unexpectedly; the server's log says why under ${correlationId}.`;
    const fields = { ...(known ? error.fields : {}), correlation_id: correlationId };
    return new MaaslInternalError(message, { fields, cause: error });
  }
}
