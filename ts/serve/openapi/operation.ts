/** How one method of one path is described, in fewer words than OpenAPI needs. */
import type { Schema } from './shapes.js';

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly schema: Schema;
  readonly required?: boolean;
}

export interface Answer {
  readonly description: string;
  /** Absent: no body. */
  readonly schema?: Schema;
  /** Instead of JSON. */
  readonly mediaType?: string;
  /** With `stream: true` in the request, server-sent events instead; what one holds. */
  readonly events?: string;
}

/** Shapes in which errors are worded. */
export type ErrorShape = 'Error' | 'AnthropicError' | 'ToolError' | 'RpcError';

export interface Operation {
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly Parameter[];
  /** JSON body. */
  readonly body?: Schema;
  /** The body may be left out, or null. */
  readonly bodyOptional?: boolean;
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>;
  /** Statuses of errors beside those that any route has. */
  readonly errors?: readonly number[];
}

export type PathItem = Partial<Record<Method, Operation>>;

/** Paths of one system. */
export interface PathGroup {
  readonly tag: string;
  readonly description: string;
  readonly errorShape: ErrorShape;
  /** By path, with parameters in braces. */
  readonly paths: Readonly<Record<string, PathItem>>;
}

/** Part of a path. */
export function inPath(name: string, description: string, schema: Schema = { type: 'string' }): Parameter {
  return { name, in: 'path', description, schema, required: true };
}

export function inQuery(name: string, description: string, schema: Schema): Parameter {
  return { name, in: 'query', description, schema };
}

export function inHeader(name: string, description: string, schema: Schema = { type: 'string' }): Parameter {
  return { name, in: 'header', description, schema };
}
