/**
 * Keeps web pages out of a server that listens on loopback. A page can make a browser talk to it under a
 * name of its own that resolves to 127.0.0.1 (DNS rebinding), and can send simple requests from anywhere;
 * the first shows in `Host`, the second in `Origin`.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from '../config/schema.js';
import { StompError } from '../errors.js';

/**
 * @param allowedHosts names beside the loopback ones, for servers that mount the handler elsewhere.
 * @throws StompError FORBIDDEN
 */
export function checkLocal(headers: IncomingHttpHeaders, allowedHosts: readonly string[]): void {
  const host = headers.host ?? '';
  if (!isAllowed(hostName(host), allowedHosts)) {
    throw forbidden(`The Host header names ${JSON.stringify(host.slice(0, 100))}`, 'host');
  }
  const origin = headers.origin;
  if (origin !== undefined && !isAllowed(originName(origin), allowedHosts)) {
    throw forbidden(`The request comes from a page of ${JSON.stringify(origin.slice(0, 100))}`, 'origin');
  }
}

function isAllowed(name: string, allowedHosts: readonly string[]): boolean {
  return isLoopback(name) || allowedHosts.includes(name);
}

/** The name without the port; ports differ behind tunnels and mappings and say nothing about who asks. */
function hostName(host: string): string {
  return host.toLowerCase().replace(/:\d+$/, '');
}

function originName(origin: string): string {
  try {
    return new URL(origin).hostname;
  } catch {
    return '';
  }
}

function forbidden(what: string, field: string): StompError {
  return new StompError('FORBIDDEN', `${what}; this server answers to localhost and 127.0.0.1 only.`, {
    fields: { field, allowed: 'localhost, 127.0.0.1, [::1]' },
  });
}
