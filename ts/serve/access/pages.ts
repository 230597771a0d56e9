/**
 * Keeps web pages out. A page can make a browser talk to a server on loopback under a name of its own that
 * resolves to 127.0.0.1 (DNS rebinding), and can send simple requests from anywhere; the first shows in `Host`,
 * the second in `Origin`.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback } from '../../config/schema.js';
import { StompError } from '../../errors.js';

/** Beside the names of this machine's loopback. */
export interface Allowed {
  /** Names, without ports, to be asked under: of the machine, of a proxy, of a server that mounts the handler. */
  readonly hosts: readonly string[];
  /** Origins of pages. */
  readonly origins: ReadonlySet<string>;
  /** Whether addresses count as well, as they do where other machines are served; no page has one of ours. */
  readonly addresses: boolean;
}

/** @throws StompError FORBIDDEN */
export function checkPage(headers: IncomingHttpHeaders, allowed: Allowed): void {
  const host = hostName(headers.host ?? '');
  if (!isAllowed(host, allowed)) {
    throw forbidden(
      `The Host header names ${JSON.stringify((headers.host ?? '').slice(0, 100))}, and this server answers to ` +
        `${names(allowed)} only; to add a name, start it with --allowed-hosts`,
      'host',
      allowed,
    );
  }
  const { origin } = headers;
  if (origin === undefined || allowed.origins.has(origin)) return;
  const page = originName(origin);
  if (!isLoopback(page) && !allowed.hosts.includes(page) && page !== host) {
    throw forbidden(
      `The request comes from a page of ${JSON.stringify(origin.slice(0, 100))}, which is not let in; to let it in, ` +
        'start the server with --cors-origin',
      'origin',
      allowed,
    );
  }
}

function isAllowed(name: string, { hosts, addresses }: Allowed): boolean {
  return isLoopback(name) || hosts.includes(name) || (addresses && isIP(name.replace(/^\[|\]$/g, '')) !== 0);
}

/** The name without the port; ports differ behind tunnels and mappings and say nothing about who asks. */
function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '');
}

function originName(origin: string): string {
  return URL.canParse(origin) ? new URL(origin).hostname : '';
}

function names({ hosts, addresses }: Allowed): string {
  return ['localhost', '127.0.0.1', '[::1]', ...(addresses ? ['its addresses'] : []), ...hosts].join(', ');
}

function forbidden(what: string, field: string, allowed: Allowed): StompError {
  return new StompError('FORBIDDEN', `${what}.`, { fields: { field, allowed: names(allowed) } });
}
