/** The stomp guard over MCP: standard input and output, or Streamable HTTP in a server of your own. */
export { McpHttp, type McpHttpOptions } from './http.js';
export { type StdioServer, type StdioServerOptions, serveStdio } from './stdio.js';
