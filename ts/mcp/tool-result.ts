/** What a tool says, as MCP words it. Pure. */
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { StompError } from '../errors.js';
import { toolErrorBody } from '../tools/toolbox.js';

// Common clients end the connection at a message of 10 MiB. As a text in JSON, JSON takes up to twice its bytes.
const largestRepeated = 2 << 20;
const largestResult = 8 << 20;

/**
 * The body, and the same as text for clients that know no structured content.
 * @throws StompError PAYLOAD_TOO_LARGE for what would cost a client its connection
 */
export function toolResult(body: object): CallToolResult {
  const text = JSON.stringify(body);
  const bytes = Buffer.byteLength(text);
  if (bytes > largestResult) {
    throw new StompError(
      'PAYLOAD_TOO_LARGE',
      `The result has ${bytes} bytes, more than clients of MCP take (${largestResult}). Ask for it over HTTP.`,
      { fields: { bytes, max_bytes: largestResult } },
    );
  }
  const shown = bytes > largestRepeated ? 'Too long to be repeated as text: see structuredContent.' : text;
  return { content: [{ type: 'text', text: shown }], structuredContent: { ...body } };
}

export function toolError(error: StompError): CallToolResult {
  return { ...toolResult(toolErrorBody(error)), isError: true };
}
