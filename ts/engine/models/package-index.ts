/**
 * Where Python packages come from on this machine: the address that pip uses, from the environment, from pip's
 * configuration, or the one built into pip; without Python the public index, which is what pip would ask.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StompError } from '../../errors.js';
import type { WheelFile } from './wheel-archive.js';

const run = promisify(execFile);

export interface PythonHost {
  env: NodeJS.ProcessEnv;
  /** Runs python3 and gives what it printed. */
  python: (args: readonly string[], signal: AbortSignal | undefined) => Promise<string>;
}

export const thisPython: PythonHost = {
  env: process.env,
  python: async (args, signal) => {
    const index = process.env['STOMP_PACKAGE_INDEX'];
    const env = index ? { ...process.env, PIP_INDEX_URL: index } : process.env;
    const { stdout } = await run('python3', [...args], {
      env,
      signal,
      timeout: 15 * 60_000,
      maxBuffer: 1 << 24,
    });
    return stdout;
  },
};

/** An address without its credentials, and the headers that carry them. */
export interface IndexAddress {
  url: URL;
  headers: Record<string, string>;
}

export interface WheelAddress extends IndexAddress {
  /** What the index says of the file. */
  sha256: string | undefined;
}

const builtInIndex = 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)';
/** The Python Package Index, by the simple repository API. */
const publicIndex = 'https://pypi.org/simple/';
const maxPageBytes = 16 * 1024 * 1024;

/** @throws StompError MODEL_DOWNLOAD when what is configured is no address. */
export async function packageIndex(host: PythonHost, signal?: AbortSignal): Promise<IndexAddress> {
  const given = host.env['STOMP_PACKAGE_INDEX'] || host.env['PIP_INDEX_URL'];
  const address = given || (await askPip(host, signal));
  return splitCredentials(address);
}

/**
 * The address of a wheel, or another file of a package, in an index, by the simple repository API (PEP 503 and 691).
 * @throws Error when the index does not have it.
 */
export async function findWheel(
  index: IndexAddress,
  wheel: Pick<WheelFile, 'package' | 'file'>,
  signal?: AbortSignal,
): Promise<WheelAddress> {
  const project = wheel.package.toLowerCase().replace(/[-_.]+/g, '-');
  const page = new URL(`${index.url.href.replace(/\/*$/, '')}/${project}/`);
  const accept =
    'application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1';
  const response = await fetch(page, { headers: { ...index.headers, accept }, signal: signal ?? null });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`${page.host} answered ${response.status} for ${project}`);
  }
  const text = await boundedText(response);
  const json = (response.headers.get('content-type') ?? '').includes('json');
  const found = json ? findInJson(text, wheel.file) : findInHtml(text, wheel.file);
  if (!found) throw new Error(`${page.host} has no ${wheel.file}`);
  const url = new URL(found.url, response.url || page);
  if (!/^https?:$/.test(url.protocol))
    throw new Error(`${page.host} gives an address that is not for the web`);
  // Credentials stay with the host they were given for.
  return { url, headers: url.origin === index.url.origin ? index.headers : {}, sha256: found.sha256 };
}

async function askPip(host: PythonHost, signal: AbortSignal | undefined): Promise<string> {
  const configured = await host
    .python(['-m', 'pip', 'config', 'get', 'global.index-url'], signal)
    // pip fails when the key is not set.
    .catch(() => '');
  if (configured.trim() !== '') return configured.trim();
  const builtIn = await host.python(['-c', builtInIndex], signal).catch(() => '');
  return builtIn.trim() || publicIndex;
}

function splitCredentials(address: string): IndexAddress {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new StompError(
      'MODEL_DOWNLOAD',
      'The address of the Python package index is not a URL. Set STOMP_PACKAGE_INDEX.',
    );
  }
  if (!url.username && !url.password) return { url, headers: {} };
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = '';
  url.password = '';
  return { url, headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } };
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxPageBytes) throw new Error('the index sent a page without end');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

interface Found {
  url: string;
  sha256: string | undefined;
}

function findInJson(text: string, file: string): Found | undefined {
  const page = JSON.parse(text) as {
    files?: { filename?: unknown; url?: unknown; hashes?: { sha256?: unknown } }[];
  };
  const entry = (page.files ?? []).find((one) => one.filename === file);
  if (typeof entry?.url !== 'string') return undefined;
  const sha256 = entry.hashes?.sha256;
  return { url: entry.url, sha256: typeof sha256 === 'string' ? sha256 : undefined };
}

function findInHtml(text: string, file: string): Found | undefined {
  for (const [, quoted] of text.matchAll(/<a\s[^>]*?href\s*=\s*["']([^"']+)["']/gi)) {
    const url = (quoted ?? '').replaceAll('&amp;', '&');
    const [address = '', fragment = ''] = url.split('#');
    if (!decodedPath(address).endsWith(`/${file}`) && decodedPath(address) !== file) continue;
    return { url: address, sha256: /(?:^|&)sha256=([0-9a-f]{64})/.exec(fragment)?.[1] };
  }
  return undefined;
}

function decodedPath(address: string): string {
  const path = address.split('?')[0] ?? '';
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
