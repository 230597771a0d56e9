/** From what a caller names to the keys that are locked. */
import { checkChoice, checkFields, refuse } from '../arguments.js';
import { canonicalPath } from '../paths.js';
import type { PolicyRegistry, ResourceClass } from './policy.js';

/** Something to be guarded. */
export interface ResourceDescriptor {
  /** `CRIT_CODE`, `CRIT_DB`, `MERGE_META`, `IDEMP_DOCS`, or one that the configuration adds. */
  resourceClass: string;
  /**
   * Which one. Of a file its path; ending in `/`, the folder with all that is in it. Of a database its path or address.
   * Otherwise any name.
   */
  identifier: string;
  /** `read` excludes writers but no readers. @default 'write' */
  access?: 'read' | 'write';
}

export interface ResolvedResource {
  readonly resourceClass: ResourceClass;
  readonly key: string;
  readonly access: 'read' | 'write';
}

const fields = ['resourceClass', 'identifier', 'access'];
const maxIdentifierLength = 4000;

/** @throws StompError UNKNOWN_RESOURCE_CLASS, PATH_DENIED, INVALID_REQUEST */
export function resolveResources(
  policy: PolicyRegistry,
  resources: readonly ResourceDescriptor[],
): Promise<ResolvedResource[]> {
  return Promise.all(resources.map((resource) => resolveResource(policy, resource)));
}

async function resolveResource(
  policy: PolicyRegistry,
  resource: ResourceDescriptor,
): Promise<ResolvedResource> {
  checkFields('resource', resource, fields);
  const { identifier } = resource;
  const access = checkChoice('access', resource.access, 'write', ['read', 'write'] as const);
  if (typeof identifier !== 'string' || identifier === '' || identifier.length > maxIdentifierLength) {
    refuse('identifier', identifier, `a text of 1 to ${maxIdentifierLength} characters`);
  }
  const resourceClass = policy.get(resource.resourceClass);
  return {
    resourceClass,
    access,
    key: policy.keyOf(resourceClass, await canonicalIdentifier(resourceClass, identifier)),
  };
}

/** One name for one thing, whatever it was called by. */
async function canonicalIdentifier({ scope }: ResourceClass, identifier: string): Promise<string> {
  if (scope === 'file') return canonicalFile(identifier);
  if (scope === 'db') return canonicalDatabase(identifier);
  return identifier;
}

async function canonicalFile(path: string): Promise<string> {
  const canonical = await canonicalPath(path);
  return path.endsWith('/') && !canonical.endsWith('/') ? `${canonical}/` : canonical;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return refuse('identifier', path, 'an address with % only before two hexadecimal digits of UTF-8');
  }
}

/** Of an address only where it leads to: neither who connects nor how. */
function canonicalDatabase(database: string): Promise<string> | string {
  if (!/^[a-z][a-z+]*:\/\//i.test(database)) return canonicalPath(database);
  if (!URL.canParse(database)) refuse('identifier', database, 'a path or an address of a database');
  const { protocol, hostname, port, pathname } = new URL(database);
  if (protocol === 'file:') return canonicalPath(decoded(pathname));
  return `${hostname.toLowerCase()}:${port || 5432}${pathname}`;
}
