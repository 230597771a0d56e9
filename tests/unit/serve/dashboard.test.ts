/** The files of the dashboard, as a browser gets them. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyRing } from '../../../ts/serve/access/keys.js';
import { errorOf, start } from './harness.js';
import { TestClutch } from './test-clutch.js';

let outer: string;
let folder: string;

beforeEach(() => {
  outer = mkdtempSync(join(tmpdir(), 'stomp-ui-'));
  folder = join(outer, 'ui');
  mkdirSync(join(folder, 'assets'), { recursive: true });
  writeFileSync(join(outer, 'secret.txt'), 'sesame');
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>stomp</title>');
  writeFileSync(join(folder, 'assets', 'index-B4x_9-Qz.js'), 'export {};');
  writeFileSync(join(folder, 'assets', 'index-C0ffee12.css'), 'body {}');
  symlinkSync(join(outer, 'secret.txt'), join(folder, 'link.txt'));
});
afterEach(() => rmSync(outer, { recursive: true }));

const open = async (options = {}) =>
  start({ clutch: await TestClutch.open(), dashboardFolder: folder, ...options });

/** As it is, which `fetch` would tidy up. */
function rawPath(port: number, path: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    request({ port, path, host: '127.0.0.1' }, (response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.on('end', () => resolve({ status: response.statusCode, text }));
    })
      .on('error', reject)
      .end();
  });
}

describe('the dashboard', () => {
  it('is at /ui/, for everybody, under a policy that lets it load nothing else', async () => {
    const keys = new KeyRing([{ role: 'user', key: 'the-key-of-a-user-1234' }]);
    const { get, url } = await open({ keys });
    const response = await get('/ui/');
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('<title>stomp</title>');
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-cache',
    });
    const moved = await fetch(`${url}/ui`, { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([308, '/ui/']);
  });

  it.each([
    ['assets/index-B4x_9-Qz.js', 'text/javascript; charset=utf-8'],
    ['assets/index-C0ffee12.css', 'text/css; charset=utf-8'],
  ])('has %s, which never changes', async (path, type) => {
    const { get } = await open();
    const response = await get(`/ui/${path}`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    const etag = response.headers.get('etag') ?? '';
    expect((await get(`/ui/${path}`, { 'if-none-match': etag })).status).toBe(304);
  });

  it.each([
    '/ui/../secret.txt',
    '/ui/..%2fsecret.txt',
    '/ui/%2e%2e/secret.txt',
    '/ui/assets/..%2f..%2f..%2fsecret.txt',
    '/ui//etc/passwd',
    '/ui/..\\secret.txt',
    '/ui/link.txt',
    '/ui/assets',
    '/ui/__proto__',
  ])('leads nowhere else: %s', async (path) => {
    const { port } = await open();
    const { status, text } = await rawPath(port, path);
    expect(status).toBe(404);
    expect(text).not.toContain('sesame');
  });

  it('that is not built says how to build it', async () => {
    rmSync(folder, { recursive: true });
    const { get } = await open();
    const response = await get('/ui/');
    expect(response.status).toBe(404);
    expect((await errorOf(response)).message).toContain('npm run build:ui');
  });

  it('is not there without a clutch', async () => {
    const { get } = await start();
    expect((await get('/ui/')).status).toBe(404);
  });
});
