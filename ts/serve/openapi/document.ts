/** The OpenAPI document of a server, made of the descriptions of its paths. Pure. */
import { packageVersion } from '../../version.js';
import { errorSchemas } from './errors.js';
import type { Answer, ErrorShape, Method, Operation, PathGroup, PathItem } from './operation.js';
import { nullable, type Schema } from './shapes.js';

/** What some routes add to the document. */
export interface DocumentParts {
  readonly groups: readonly PathGroup[];
  /** Schemas that the paths refer to, by name. */
  readonly schemas?: Readonly<Record<string, Schema>>;
}

/** What any route may answer: bad request, no key, wrong role or host, too often, our fault, not now. */
const ANYWHERE = [400, 401, 403, 429, 500, 503] as const;
/** And any route with a body: too large, not JSON. */
const WITH_BODY = [413, 415] as const;

const MEANING: Readonly<Record<number, string>> = {
  400: 'The request is wrong; `error.field` says where',
  401: 'A key is needed, and none or none that is known was sent',
  403: 'The key, or the host, may not do this',
  404: 'There is no such thing, or it was deleted meanwhile',
  406: 'The client takes no answer of this kind',
  409: 'It conflicts with what is there',
  410: 'The lease is no longer held',
  413: 'The body is too large',
  415: 'The body is not JSON',
  422: 'The model cannot be used',
  429: 'Too much at once; `Retry-After` says when to come again',
  500: 'A fault of the server; its log says more under this X-Request-ID',
  502: 'The model could not be brought',
  503: 'Loading, swapping or shutting down; `Retry-After` says when to come again',
  507: 'The disk did not take it',
};

export function openApiDocument(parts: readonly DocumentParts[]): object {
  const groups = parts.flatMap((part) => part.groups);
  return {
    openapi: '3.1.0',
    info: {
      title: 'stomp-serve',
      version: packageVersion(),
      description:
        'Inference for teams of agents on one machine, and what keeps them out of each other’s way.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: groups.map(({ tag, description }) => ({ name: tag, description })),
    security: [{}, { bearer: [] }, { apiKey: [] }],
    paths: Object.fromEntries(
      groups.flatMap((group) =>
        Object.entries(group.paths).map(([path, item]) => [path, pathItem(group, path, item)]),
      ),
    ),
    components: {
      schemas: Object.assign({}, errorSchemas, ...parts.map(({ schemas }) => schemas)),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
    },
  };
}

function pathItem({ tag, errorShape }: PathGroup, path: string, item: PathItem): object {
  return Object.fromEntries(
    Object.entries(item).map(([method, operation]) => [
      method,
      {
        operationId: operationId(method as Method, path),
        tags: [tag],
        summary: operation.summary,
        ...(operation.description ? { description: operation.description } : {}),
        ...(operation.parameters ? { parameters: operation.parameters } : {}),
        ...bodyOf(operation),
        responses: { ...answersOf(operation), ...errorsOf(operation, errorShape) },
      },
    ]),
  );
}

/** `post_v1_agents_id_fork` */
function operationId(method: Method, path: string): string {
  return `${method}_${path.replaceAll(/[^A-Za-z0-9]+/g, '_').replaceAll(/^_|_$/g, '')}`;
}

function bodyOf({ body, bodyOptional }: Operation): object {
  if (body === undefined) return {};
  const schema = bodyOptional ? nullable(body) : body;
  return { requestBody: { required: !bodyOptional, content: { 'application/json': { schema } } } };
}

function answersOf({ answers }: Operation): Record<string, object> {
  return Object.fromEntries(
    Object.entries(answers).map(([status, answer]) => [
      status,
      { description: answer.description, headers: HEADERS, ...contentOf(answer) },
    ]),
  );
}

const HEADERS = {
  'X-Request-ID': { description: 'Names the request in the log', schema: { type: 'string' } },
};

function contentOf({ schema, mediaType = 'application/json', events }: Answer): object {
  if (schema === undefined) return {};
  const stream = events === undefined ? {} : { 'text/event-stream': { schema: { description: events } } };
  return { content: { [mediaType]: { schema }, ...stream } };
}

function errorsOf({ body, errors = [] }: Operation, shape: ErrorShape): Record<string, object> {
  const statuses = new Set([...ANYWHERE, ...(body === undefined ? [] : WITH_BODY), ...errors]);
  const content = { 'application/json': { schema: { $ref: `#/components/schemas/${shape}` } } };
  return Object.fromEntries(
    [...statuses].map((status) => [status, { description: MEANING[status], headers: HEADERS, content }]),
  );
}
