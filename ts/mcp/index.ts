/** Tools over MCP: standard input and output, or Streamable HTTP in a server of your own. */

export { Connection, type Kept } from '../tools/connection.js';
export type {
  Actor,
  Anonymous,
  AnyCaller,
  Call,
  Caller,
  CallerNames,
  Tool,
  ToolHints,
} from '../tools/tool.js';
export { type Fault, Toolbox, type ToolboxOptions, type ToolSet } from '../tools/toolbox.js';
export { McpHttp, type McpHttpOptions } from './http.js';
export { type StdioServer, type StdioServerOptions, serveStdio } from './stdio.js';
