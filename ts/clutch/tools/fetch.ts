/**
 * Pages of the public internet. The machine's own network is out of reach: the address that a connection goes to is the
 * one that was checked, at each redirect anew.
 */
import { lookup } from 'node:dns';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import { text } from '../../tools/shapes.js';
import { defineTool } from './define-tool.js';
import { isPublicAddress } from './public-address.js';
import type { RunTool } from './run-tool.js';

/** What runs may fetch. */
export interface FetchOptions {
  /** Names and addresses that may be fetched from although they are not public. @default none */
  readonly privateHosts?: readonly string[];
  /** Of a page. @default 1 MiB */
  readonly maxBytes?: number;
  /** For a page with all its redirects. @default 20,000 */
  readonly timeoutMs?: number;
}

type Limits = Required<FetchOptions>;

const mostRedirects = 5;
const textTypes = /^(text\/|application\/([\w.-]+\+)?(json|xml|javascript|yaml|toml)\b)/i;

/** What is asked for leaves the machine, so this is no tool that only looks: a person may want to see it. */
export function fetchTool({
  privateHosts = [],
  maxBytes = 1 << 20,
  timeoutMs = 20_000,
}: FetchOptions = {}): RunTool {
  const limits: Limits = { privateHosts, maxBytes, timeoutMs };
  return defineTool({
    name: 'fetch_url',
    description: 'Gets a text, such as a page, from the public internet by HTTP.',
    parameters: {
      type: 'object',
      properties: { url: text('An http or https address') },
      required: ['url'],
      additionalProperties: false,
    },
    kind: 'write',
    complete: async ({ url }) => ({ url: checkedUrl(url, limits).href }),
    preview: async ({ url }) => ({ title: `Fetch ${url}` }),
    run: async ({ url }, { signal }) => {
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        return await fetchText(new URL(url), limits, AbortSignal.any([signal, timeout]));
      } catch (error) {
        if (signal.aborted || error instanceof StompError) throw error;
        const why = timeout.aborted ? `it took more than ${timeoutMs / 1000} s` : (error as Error).message;
        return { output: `${url} could not be fetched: ${why}.`, failed: true };
      }
    },
  });
}

/** @throws StompError INVALID_REQUEST, FORBIDDEN */
function checkedUrl(given: string, limits: Limits): URL {
  if (!URL.canParse(given)) refuse('url', given, 'an http or https address');
  const url = new URL(given);
  if (!/^https?:$/.test(url.protocol)) refuse('url', given, 'an http or https address');
  if (url.username !== '' || url.password !== '') refuse('url', url.host, 'an address without a password');
  const host = hostOf(url);
  // Names are checked when they are resolved; addresses are not resolved.
  if (isIP(host) && !isPublicAddress(host) && !limits.privateHosts.includes(host)) throw notPublic(host);
  return url;
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function notPublic(host: string): StompError {
  const message = `${host} is not on the public internet. To allow it, the user adds it to the private hosts.`;
  return new StompError('FORBIDDEN', message, { fields: { field: 'url', host } });
}

async function fetchText(start: URL, limits: Limits, signal: AbortSignal): Promise<string> {
  let url = start;
  for (let hops = 0; hops <= mostRedirects; hops++) {
    const response = await get(url, limits, signal);
    const { statusCode = 0, headers } = response;
    if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
      response.destroy();
      url = checkedUrl(new URL(headers.location, url).href, limits);
      continue;
    }
    const body = await bodyOf(response, limits.maxBytes);
    if (statusCode >= 400) throw failure(`it answered ${statusCode}: ${body.slice(0, 500)}`);
    return `[${statusCode} ${url.href}]\n${body}`;
  }
  throw failure(`there were more than ${mostRedirects} redirects`);
}

function failure(why: string): Error {
  return new Error(why);
}

function get(url: URL, limits: Limits, signal: AbortSignal): Promise<IncomingMessage> {
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  const options = {
    signal,
    agent: false,
    headers: {
      accept: 'text/*, application/json',
      'accept-encoding': 'identity',
      'user-agent': 'stomp-serve',
    },
    ...(limits.privateHosts.includes(hostOf(url)) ? {} : { lookup: publicLookup }),
  } as const;
  return new Promise((resolve, reject) => {
    request(url, options, resolve).once('error', reject).end();
  });
}

/** Resolves to public addresses only, so that nothing can change between the check and the connection. */
const publicLookup: LookupFunction = (host, options, done) => {
  lookup(host, { ...options, all: true }, (error, addresses) => {
    if (error) return done(error, []);
    const usable = addresses.filter(({ address }) => isPublicAddress(address));
    const [first] = usable;
    if (!first) return done(notPublic(host), []);
    return options.all ? done(null, usable) : done(null, first.address, first.family);
  });
};

/** @throws Error when it is no text, or too long */
async function bodyOf(response: IncomingMessage, maxBytes: number): Promise<string> {
  const { 'content-type': type = 'text/plain', 'content-encoding': encoding = 'identity' } = response.headers;
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    if (!textTypes.test(type) || encoding !== 'identity')
      throw failure(`it is no plain text but ${type}, ${encoding}`);
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw failure(`it has more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return decoded(Buffer.concat(chunks), type);
  } finally {
    response.destroy();
  }
}

/** Characters of an unknown encoding are read as UTF-8. */
function decoded(bytes: Buffer, type: string): string {
  const charset = /charset="?([\w-]+)/i.exec(type)?.[1];
  return charset && /^(iso-8859-1|latin1|us-ascii)$/i.test(charset)
    ? bytes.toString('latin1')
    : bytes.toString('utf8');
}
