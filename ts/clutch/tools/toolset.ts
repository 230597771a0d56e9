/** All tools that runs have: the built-in ones and those of MCP servers, by name, always in the same order. */
import { StompError } from '../../errors.js';
import type { FileGuard } from '../../guard/files.js';
import type { ToolSpec } from '../conversation.js';
import { askTool } from './ask.js';
import { type FetchOptions, fetchTool } from './fetch.js';
import { fileTools } from './file-tools.js';
import { type McpServer, mcpTools } from './mcp.js';
import type { RunTool, ToolSource } from './run-tool.js';
import { searchTools } from './search-tools.js';
import { type ShellOptions, shellTool } from './shell.js';

export interface ToolsetOptions {
  readonly files: FileGuard;
  readonly shell?: ShellOptions | undefined;
  /** @default runs fetch nothing */
  readonly fetch?: FetchOptions | undefined;
  readonly mcpServers?: readonly McpServer[] | undefined;
  /** Tools that begin runs. */
  readonly more?: readonly RunTool[] | undefined;
}

export class Toolset {
  readonly #tools: ReadonlyMap<string, RunTool>;
  readonly #sources: readonly ToolSource[];
  /** As models are told of them; the order never changes, so that prompts stay cached. */
  readonly specs: readonly ToolSpec[];

  private constructor(tools: readonly RunTool[], sources: readonly ToolSource[]) {
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.#sources = sources;
    this.specs = tools.map(({ name, description, parameters }) => ({ name, description, parameters }));
  }

  /** @throws StompError INVALID_REQUEST, PROVIDER_FAILED when an MCP server cannot be reached */
  static async open({ files, shell, fetch, mcpServers = [], more = [] }: ToolsetOptions): Promise<Toolset> {
    const own = [
      ...fileTools(files),
      ...searchTools(files),
      shellTool(shell),
      askTool(),
      ...(fetch ? [fetchTool(fetch)] : []),
      ...more,
    ];
    const opened = await Promise.allSettled(mcpServers.map(mcpTools));
    const sources = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failed = opened.find((one) => one.status === 'rejected');
    if (failed) {
      await Promise.all(sources.map((source) => source.close()));
      throw failed.reason;
    }
    return new Toolset([...own, ...sources.flatMap(({ tools }) => tools)], sources);
  }

  /** @throws StompError NOT_FOUND, for the model to read */
  get(name: string): RunTool {
    const tool = this.#tools.get(name);
    if (tool) return tool;
    const names = [...this.#tools.keys()].join(', ');
    throw new StompError('NOT_FOUND', `There is no tool ${JSON.stringify(name)}. There are ${names}.`);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }
}
