/** `/ui/`: the files of the dashboard, as they were built. They hold no data: what they show they ask for. */
import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, readFileSync } from 'node:fs';
import { dirname, extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { StompError } from '../../errors.js';
import { flatErrorBody } from '../wire-errors.js';

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const headers = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
};

interface Asset {
  readonly content: Buffer;
  readonly type: string;
  readonly etag: string;
  readonly cacheControl: string;
}

/** Where the build puts it, beside the compiled sources and so also in the package. */
const builtFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'dist', 'ui');

/**
 * Only what lies in the folder now is served, from memory: no path leads anywhere else.
 * @param folder @default that of the build
 */
export function dashboard(app: FastifyInstance, folder: string = builtFolder): void {
  const assets = readAssets(folder);
  const options = { config: { role: 'anyone', errorBody: flatErrorBody } } as const;
  app.get('/ui', options, (_, reply) => reply.headers(headers).redirect('/ui/', 308));
  app.get('/ui/*', options, (request, reply) => {
    const { '*': path = '' } = request.params as { '*'?: string };
    const asset = assets.get(path === '' ? 'index.html' : path);
    if (asset) return send(asset, request, reply);
    throw missing(path, assets.size > 0);
  });
}

/** The browser sends the fragment of an address to nobody, and this moves it along. */
function send(asset: Asset, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { content, type, etag, cacheControl } = asset;
  void reply.headers({ ...headers, 'cache-control': cacheControl, etag });
  if (request.headers['if-none-match'] === etag) return reply.code(304).send();
  return reply.type(type).send(content);
}

function readAssets(folder: string): Map<string, Asset> {
  return new Map(
    filesIn(folder).map((path) => {
      const content = readFileSync(join(folder, path));
      const name = path.split(sep).join('/');
      const asset: Asset = {
        content,
        type: types[extname(name)] ?? 'application/octet-stream',
        etag: `"${createHash('sha256').update(content).digest('base64url')}"`,
        cacheControl: isHashed(name) ? 'public, max-age=31536000, immutable' : 'no-cache',
      };
      return [name, asset];
    }),
  );
}

/** Links are left out: they may lead anywhere. */
function filesIn(folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** The build names such files after what they hold. */
function isHashed(name: string): boolean {
  return /^assets\/.+-[A-Za-z0-9_-]{8,}\.\w+$/.test(name);
}

function missing(path: string, isBuilt: boolean): StompError {
  const message = isBuilt
    ? `The dashboard has no file ${JSON.stringify(path.slice(0, 100))}; it begins at /ui/.`
    : 'The dashboard is not built here: run "npm run build:ui", and start the server again.';
  return new StompError('NOT_FOUND', message, { fields: { field: 'path', value: path.slice(0, 100) } });
}
