/**
 * Tools of MCP servers that the user has chosen. What a server says of a tool is believed, its name is the server's and
 * its own, and it changes something unless it says that it does not.
 */
import { createHash } from 'node:crypto';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { CallToolResult, Tool } from '@modelcontextprotocol/sdk/types.js';
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { packageVersion } from '../../version.js';
import { outcomeOf } from './define-tool.js';
import { processEnvironment } from './environment.js';
import type { Outcome, Payload, RunTool, ToolSource } from './run-tool.js';

/** An MCP server whose tools runs have. */
export interface McpServer {
  /** `[A-Za-z0-9_-]`, 1 to 24 characters: the names of its tools begin with it. */
  readonly name: string;
  readonly connection:
    | {
        readonly kind: 'stdio';
        readonly command: string;
        readonly args?: readonly string[];
        /** In addition to what every process of a run has; may hold secrets. */
        readonly env?: Readonly<Record<string, string>>;
        readonly cwd?: string;
      }
    | { readonly kind: 'http'; readonly url: string; readonly headers?: Readonly<Record<string, string>> };
  /** For one call. @default 60,000 */
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 60_000;
const mostNameChars = 64;

/**
 * Connects to a server and reads what it offers.
 * @throws StompError INVALID_REQUEST, PROVIDER_FAILED when it cannot be reached
 */
export async function mcpTools(server: McpServer): Promise<ToolSource> {
  if (!/^[A-Za-z0-9_-]{1,24}$/.test(server.name)) {
    refuse('name', server.name, '1 to 24 letters, digits, "_" and "-"');
  }
  const client = new Client({ name: 'stomp-serve', version: packageVersion() });
  try {
    await client.connect(transportOf(server));
    const tools = (await allTools(client)).map((tool) => runToolOf(client, server, tool));
    return { tools, close: () => client.close() };
  } catch (error) {
    await client.close();
    const message = `The MCP server ${server.name} cannot be used: ${(error as Error).message}. Check how it is started or reached.`;
    throw new StompError('PROVIDER_FAILED', message, { fields: { server: server.name }, cause: error });
  }
}

function transportOf({ connection }: McpServer): Transport {
  if (connection.kind === 'http') {
    const { url, headers = {} } = connection;
    // Its session id may be undefined, which the interface of the SDK does not say.
    return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }) as Transport;
  }
  const { command, args = [], env = {}, cwd } = connection;
  return new StdioClientTransport({
    command,
    args: [...args],
    env: { ...processEnvironment(process.env), ...env },
    stderr: 'ignore',
    ...(cwd === undefined ? {} : { cwd }),
  });
}

async function allTools(client: Client): Promise<Tool[]> {
  const found: Tool[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.listTools(cursor === undefined ? {} : { cursor });
    found.push(...page.tools);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

function runToolOf(client: Client, server: McpServer, tool: Tool): RunTool {
  const { timeoutMs: timeout = defaultTimeoutMs } = server;
  return {
    name: toolName(server.name, tool.name),
    description: tool.description ?? tool.title ?? tool.name,
    parameters: { ...tool.inputSchema },
    kind: tool.annotations?.readOnlyHint === true ? 'read' : 'write',
    prepare: async (args) => plainObject(args ?? {}),
    edit: async (payload, edits) => plainObject({ ...payload, ...edits }),
    preview: async () => ({ title: `Call ${tool.name} of the MCP server ${server.name}` }),
    run: (payload, scope) =>
      outcomeOf(async () => {
        const { signal } = scope;
        try {
          const call = { name: tool.name, arguments: { ...payload } };
          const result = await client.callTool(call, undefined, { signal, timeout });
          return outcomeOfResult(result as CallToolResult);
        } catch (error) {
          if (signal.aborted) throw error;
          return { output: `${server.name}: ${(error as Error).message}`, failed: true };
        }
      }, scope),
  };
}

/** What every provider takes; a name that had to be changed has a hash of the whole one, so that no two are the same. */
function toolName(server: string, tool: string): string {
  const name = `${server}__${tool}`;
  const fit = name.replace(/[^A-Za-z0-9_-]/g, '_');
  if (fit === name && name.length <= mostNameChars) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${fit.slice(0, mostNameChars - hash.length - 1)}_${hash}`;
}

/** The server checks the rest: it knows its schema best. */
function plainObject(args: unknown): Payload {
  const fits = typeof args === 'object' && args !== null && !Array.isArray(args);
  return fits ? (args as Payload) : refuse('arguments', args, 'an object');
}

function outcomeOfResult({ content, structuredContent, isError }: CallToolResult): Outcome {
  const parts = content.map((part) => {
    if (part.type === 'text') return part.text;
    if (part.type === 'resource' && 'text' in part.resource) return part.resource.text;
    return `[${part.type} that cannot be shown]`;
  });
  const structured = parts.length === 0 && structuredContent ? [JSON.stringify(structuredContent)] : [];
  return { output: [...parts, ...structured].join('\n'), failed: isError === true };
}
