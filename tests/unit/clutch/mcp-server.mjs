/** An MCP server for tests, over standard input and output. */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { z } from 'zod';

const server = new McpServer({ name: 'test', version: '1' });
const text = (value) => ({ content: [{ type: 'text', text: value }] });
server.registerTool(
  'look',
  { annotations: { readOnlyHint: true }, inputSchema: { at: z.string() } },
  ({ at }) => text(`seen: ${at}`),
);
server.registerTool('env', {}, () => text(JSON.stringify(process.env)));
server.registerTool('pid', {}, () => text(String(process.pid)));
server.registerTool('fail', {}, () => ({ ...text('it went wrong'), isError: true }));
server.registerTool('hang', {}, () => new Promise(() => undefined));
server.registerTool(`dots.and.${'x'.repeat(60)}`, {}, () => text('long'));
await server.connect(new StdioServerTransport());
