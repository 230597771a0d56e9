/** One MCP client: its tools, the calls that run for it, and the leases that it has taken. */
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  type CallToolRequest,
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  ListToolsRequestSchema,
  McpError,
  type RequestId,
  type Tool as ShownTool,
} from '@modelcontextprotocol/sdk/types.js';
import { StompError } from '../errors.js';
import { Connection } from '../tools/connection.js';
import type { Actor, Tool } from '../tools/tool.js';
import type { Toolbox } from '../tools/toolbox.js';
import { packageVersion } from '../version.js';
import { type Headers, resolveCaller } from './identity.js';
import { personAt } from './person.js';
import { toolError, toolResult } from './tool-result.js';

export interface McpSessionSetup {
  readonly tools: Toolbox;
  /** Names the connection: unless a request says otherwise, its calls are made for this session. */
  readonly id: string;
  /** Is told of what does not fit the protocol, and of answers that could not be sent. */
  onError(error: Error): void;
  /** Is told of a call that the client has cancelled, at its end: it gets no answer. */
  onUnanswered?(id: RequestId): void;
}

interface RunningCall {
  readonly id: RequestId;
  readonly abort: AbortController;
  readonly done: Promise<unknown>;
}

/** What a handler is told of a request, as far as it is used here. */
interface RequestExtra {
  readonly signal: AbortSignal;
  readonly requestId: RequestId;
  readonly _meta?: Readonly<Record<string, unknown>> | undefined;
  readonly requestInfo?: { readonly headers: Headers } | undefined;
}

export class McpSession {
  readonly id: string;
  readonly #tools: Toolbox;
  readonly #server: Server;
  readonly #connection = new Connection();
  readonly #calls = new Set<RunningCall>();
  readonly #onUnanswered: (id: RequestId) => void;
  readonly #onError: (error: Error) => void;

  constructor({ tools, id, onError, onUnanswered = () => undefined }: McpSessionSetup) {
    this.id = id;
    this.#tools = tools;
    this.#onUnanswered = onUnanswered;
    this.#onError = onError;
    this.#server = new Server(
      { name: 'stomp-serve', title: `stomp-serve: ${tools.topics.join('; ')}`, version: packageVersion() },
      { capabilities: { tools: {} }, instructions: tools.instructions },
    );
    this.#server.onerror = onError;
    this.#server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
      if (params?.cursor !== undefined) {
        throw new McpError(ErrorCode.InvalidParams, 'There is one page of tools; ask without a cursor.');
      }
      return { tools: tools.list.map(describe) };
    });
    this.#server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => this.#call(params, extra));
  }

  /** Begins to serve. The transport is the session's from now on. */
  connect(transport: Transport): Promise<void> {
    return this.#server.connect(transport);
  }

  /** Takes calls that wait for locks out of their queues; what is at work goes on. */
  cancel(ids?: readonly RequestId[]): void {
    for (const { id, abort } of this.#calls) if (!ids || ids.includes(id)) abort.abort();
  }

  /** Resolves when no call runs. */
  async idle(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(Array.from(this.#calls, ({ done }) => done));
  }

  /**
   * The client is gone: gives back what it has taken.
   * @throws StompError DB_BUSY: they expire.
   */
  async giveBack(): Promise<void> {
    this.cancel();
    await this.idle();
    await this.#connection.giveBack();
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  async #call(params: CallToolRequest['params'], extra: RequestExtra): Promise<CallToolResult> {
    const tool = this.#tool(params.name);
    const abort = new AbortController();
    const follow = () => abort.abort(extra.signal.reason);
    if (extra.signal.aborted) follow();
    extra.signal.addEventListener('abort', follow, { once: true });
    const done = this.#run(tool, params.arguments, extra, abort.signal);
    const call = { id: extra.requestId, abort, done };
    this.#calls.add(call);
    try {
      return await done;
    } finally {
      this.#calls.delete(call);
      extra.signal.removeEventListener('abort', follow);
      if (extra.signal.aborted) this.#onUnanswered(extra.requestId);
    }
  }

  #tool(name: string): Tool {
    try {
      return this.#tools.get(name);
    } catch (error) {
      throw error instanceof StompError ? new McpError(ErrorCode.InvalidParams, error.message) : error;
    }
  }

  async #run(
    { name }: Tool,
    args: unknown,
    { _meta: meta, requestInfo, requestId }: RequestExtra,
    signal: AbortSignal,
  ): Promise<CallToolResult> {
    try {
      const names = resolveCaller({
        meta,
        headers: requestInfo?.headers,
        connectionId: this.id,
        clientName: this.#server.getClientVersion()?.name,
      });
      let actor: Actor = names;
      const body = await this.#tools.call(name, args, {
        ...names,
        signal,
        connection: this.#connection,
        person: personAt(this.#server, requestId, this.#onError),
        onActor: (other) => (actor = other),
      });
      return { ...toolResult(body), _meta: metaOf(actor) };
    } catch (error) {
      if (!(error instanceof StompError)) throw error;
      return toolError(error);
    }
  }
}

function describe({ name, title, description, inputSchema, hints }: Tool): ShownTool {
  return {
    name,
    title,
    description,
    inputSchema: inputSchema as unknown as ShownTool['inputSchema'],
    annotations: {
      title,
      readOnlyHint: hints.readOnly,
      destructiveHint: hints.destructive,
      idempotentHint: hints.idempotent,
      openWorldHint: false,
    },
  };
}

/** For whom it was done. */
function metaOf({ agentId, sessionId }: Actor): Record<string, string> {
  const agent = { 'stomp-serve/agent_id': agentId };
  return sessionId === undefined ? agent : { ...agent, 'stomp-serve/session_id': sessionId };
}
