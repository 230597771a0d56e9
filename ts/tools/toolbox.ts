/** The tools of several systems by their names, as MCP and HTTP offer them. */
import { randomUUID } from 'node:crypto';
import { suggestion } from '../config/nearest.js';
import { StompError } from '../errors.js';
import type { AnyCaller, Tool } from './tool.js';

/** Something went wrong that nobody foresaw; whoever called was told the id and no more. */
export interface Fault {
  readonly tool: string;
  readonly correlationId: string;
  readonly error: unknown;
}

/** What one system offers. */
export interface ToolSet {
  /** What they are for, in a few words. */
  readonly topic: string;
  /** What an agent must know to work with them, in a few sentences. */
  readonly instructions: string;
  /** In the order in which they are shown. */
  readonly tools: readonly Tool[];
  /** Other names that clients know them by, each with the tool's own. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Largest request, as JSON, that one of them can want. */
  readonly maxRequestBytes: number;
}

/** Who writes down what goes wrong. */
export interface ToolboxOptions {
  /** Writes faults down. */
  onFault(fault: Fault): void;
  /** Ends the calls of tools that wait, for the StompError that is its reason. */
  readonly endWaits?: AbortSignal;
}

/** An error as tools send it on every wire: its fields beside its code. */
export interface ToolErrorBody {
  error: { code: StompError['code']; message: string; [field: string]: unknown };
}

/** The body that says an error. */
export function toolErrorBody({ code, message, fields }: StompError): ToolErrorBody {
  return { error: { ...fields, code, message } };
}

/** Every tool of a server. */
export class Toolbox {
  /** In the order in which they are shown. */
  readonly list: readonly Tool[];
  /** Largest request, as JSON, that a tool can want. */
  readonly maxRequestBytes: number;
  /** What the tools are for, in a few words. */
  readonly topics: readonly string[];
  /** What an agent must know to work with them. */
  readonly instructions: string;
  readonly #byName: ReadonlyMap<string, Tool>;
  readonly #onFault: ToolboxOptions['onFault'];
  readonly #endWaits: AbortSignal | undefined;

  /** @throws StompError INTERNAL_ERROR when two tools have one name */
  constructor(sets: readonly ToolSet[], { onFault, endWaits }: ToolboxOptions) {
    this.#onFault = onFault;
    this.#endWaits = endWaits;
    this.list = sets.flatMap(({ tools }) => tools);
    this.topics = sets.map(({ topic }) => topic);
    this.instructions = sets.map(({ instructions }) => instructions).join('\n\n');
    this.maxRequestBytes = Math.max(0, ...sets.map((set) => set.maxRequestBytes));
    this.#byName = namesOf(sets);
  }

  /** By its name or an alias. */
  find(name: string): Tool | undefined {
    return this.#byName.get(name);
  }

  /** @throws StompError NOT_FOUND naming the nearest one */
  get(name: string): Tool {
    const found = this.find(name);
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
   * @param caller may be left out where nothing is acquired or changed, or the tool works for anybody.
   * @throws StompError and nothing else; INTERNAL_ERROR with `correlation_id` for what nobody foresaw
   */
  async call(name: string, args: unknown, caller?: AnyCaller): Promise<object> {
    const tool = this.get(name);
    try {
      if (tool.waits && this.#endWaits) return await callUntil(this.#endWaits, tool, args, caller);
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
    return new StompError('INTERNAL_ERROR', message, { fields, cause: error });
  }
}

/** What was cancelled because of `end` fails with the reason for that. */
async function callUntil(end: AbortSignal, tool: Tool, args: unknown, caller: AnyCaller): Promise<object> {
  const ended = new AbortController();
  const stop = () => ended.abort(end.reason);
  const follow = () => ended.abort(caller?.signal?.reason);
  // By hand: what `AbortSignal.any` makes of a signal that lives as long as the server would add up.
  if (end.aborted) stop();
  if (caller?.signal?.aborted) follow();
  end.addEventListener('abort', stop);
  caller?.signal?.addEventListener('abort', follow);
  try {
    return await tool.call(args, { ...caller, signal: ended.signal } as AnyCaller);
  } catch (error) {
    throw end.aborted && ended.signal.reason === end.reason ? end.reason : error;
  } finally {
    end.removeEventListener('abort', stop);
    caller?.signal?.removeEventListener('abort', follow);
  }
}

function namesOf(sets: readonly ToolSet[]): Map<string, Tool> {
  const byName = new Map<string, Tool>();
  const add = (name: string, tool: Tool | undefined) => {
    if (!tool || byName.has(name))
      throw new StompError('INTERNAL_ERROR', `The tool ${name} is there twice, or an alias of none.`);
    byName.set(name, tool);
  };
  for (const { tools } of sets) for (const tool of tools) add(tool.name, tool);
  for (const { tools, aliases = {} } of sets) {
    for (const [alias, name] of Object.entries(aliases))
      add(
        alias,
        tools.find((tool) => tool.name === name),
      );
  }
  return byName;
}
