/** Calls a tool for a path: what the path says goes before what the body says. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { StompError } from '../../errors.js';
import { snakeCase } from '../../tools/parameters.js';
import type { Toolbox } from '../../tools/toolbox.js';
import type { Service } from '../service.js';
import { callTool } from './call-tool.js';
import { queryArguments } from './query-arguments.js';

export interface PathCall {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly tool: string;
  /** What the path says, by the names of the tool's arguments. */
  readonly path?: Readonly<Record<string, unknown>>;
  /** @default what the body and the query of the URL say */
  readonly args?: unknown;
}

/** What the body and the query of the URL say, as arguments of a tool. */
export type Asked = (request: FastifyRequest, tool: string) => unknown;

export type Call = (call: PathCall) => Promise<object>;

export function caller(service: Service, tools: Toolbox): Call {
  const asked = askedReader(tools);
  return ({ request, reply, tool, path = {}, args = asked(request, tool) }) =>
    callTool(service, tools, tool, request, reply, withPath(args, path));
}

export function askedReader(tools: Toolbox): Asked {
  return (request, tool) => {
    const { body } = request;
    const query = request.query as Record<string, string | string[]>;
    const args = queryArguments(tools.get(tool).inputSchema, query);
    // The tool says what is wrong with it.
    if (typeof body !== 'object' || Array.isArray(body)) return body ?? args;
    return { ...body, ...args };
  };
}

/** @throws StompError INVALID_REQUEST when a request names something else than the path */
function withPath(args: unknown, path: Readonly<Record<string, unknown>>): unknown {
  // The tool says what is wrong with it.
  if (args !== undefined && args !== null && (typeof args !== 'object' || Array.isArray(args))) return args;
  const rest = Object.entries(args ?? {}).filter(([written, other]) => {
    const field = snakeCase(written);
    if (!Object.hasOwn(path, field)) return true;
    if (other !== undefined && other !== null && other !== path[field])
      throw contradiction(field, other, path[field]);
    return false;
  });
  return { ...Object.fromEntries(rest), ...path };
}

function contradiction(field: string, value: unknown, inPath: unknown): StompError {
  return new StompError(
    'INVALID_REQUEST',
    `"${field}" names something else than the path does; leave it out.`,
    {
      fields: { field, value: String(value).slice(0, 80), allowed: String(inPath) },
    },
  );
}

/** Parameters of the path, decoded. */
export function pathOf(request: FastifyRequest): Readonly<Record<string, string>> {
  return request.params as Record<string, string>;
}
