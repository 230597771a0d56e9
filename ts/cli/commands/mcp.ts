/** `stomp-serve mcp`: speaks MCP over standard input and output. */
import type { Command } from '../command.js';

export const mcp: Command = {
  name: 'mcp',
  usage: '',
  summary: 'Guard files and locks for an MCP client, over standard input and output',
  arguments: [0, 0],
  run: () => Promise.reject(new Error('to be written')),
};
