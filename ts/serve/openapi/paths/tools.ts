/** `/v1/tools` and `/mcp`: every tool of the server. */
import type { Toolbox } from '../../../tools/toolbox.js';
import { inHeader, inPath, type PathGroup } from '../operation.js';
import { flag, list, object, text } from '../shapes.js';

export function toolPaths(tools: Toolbox): PathGroup {
  return {
    tag: 'tools',
    description: `Tools for ${tools.topics.join(' and ')}`,
    errorShape: 'ToolError',
    paths: {
      '/v1/tools': {
        get: {
          summary: 'List the tools',
          answers: {
            200: { description: 'The tools', schema: object({ object: text('list'), data: list(tool) }) },
          },
        },
      },
      '/v1/tools/{name}': {
        post: {
          summary: 'Call a tool',
          description: `The body holds the arguments. There are ${tools.list.map(({ name }) => name).join(', ')}.`,
          parameters: [inPath('name', 'Of the tool'), ...callerHeaders],
          body: object({}, { description: 'As the `input_schema` of the tool has it' }),
          bodyOptional: true,
          answers: { 200: { description: 'What the tool found or did', schema: object({}) } },
          errors: TOOL_ERRORS,
        },
      },
    },
  };
}

/** `/mcp`. */
export const mcpPaths: PathGroup = {
  tag: 'mcp',
  description: 'The same tools over the Model Context Protocol (Streamable HTTP)',
  errorShape: 'RpcError',
  paths: {
    '/mcp': {
      post: {
        summary: 'Send a message of the protocol',
        parameters: [
          inHeader('Mcp-Session-Id', 'As the answer to `initialize` gave it'),
          inHeader('Accept', 'application/json, text/event-stream'),
        ],
        body: object({}, { description: 'A JSON-RPC message' }),
        answers: {
          200: { description: 'The answer', schema: object({}), events: 'JSON-RPC messages' },
          202: { description: 'Taken; there is no answer to it' },
        },
        errors: [404, 406],
      },
      get: {
        summary: 'Wait for messages of the server',
        parameters: [inHeader('Mcp-Session-Id', 'As the answer to `initialize` gave it')],
        answers: {
          200: { description: 'The messages', schema: {}, mediaType: 'text/event-stream' },
        },
        errors: [404, 406, 409],
      },
      delete: {
        summary: 'End the session',
        parameters: [inHeader('Mcp-Session-Id', 'As the answer to `initialize` gave it')],
        answers: { 200: { description: 'It is ended' } },
        errors: [404],
      },
    },
  },
};

/** What tools may end with, beside what any route may. */
export const TOOL_ERRORS = [404, 409, 410, 413, 422] as const;

/** Who calls. */
export const callerHeaders = [
  inHeader('X-Agent-ID', 'Who calls; needed where something is acquired or changed'),
  inHeader('X-Session-ID', 'In which session'),
];

const tool = object({
  name: text('Of the tool'),
  title: text('For people'),
  description: text('What it does'),
  input_schema: object({}, { description: 'JSON Schema of its arguments' }),
  read_only: flag('Changes nothing'),
  destructive: flag('May do away with what was there'),
  idempotent: flag('To call it twice is to call it once'),
});
