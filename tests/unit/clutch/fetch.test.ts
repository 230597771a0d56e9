import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type FetchOptions, fetchTool } from '../../../ts/clutch/tools/fetch.js';
import { isPublicAddress } from '../../../ts/clutch/tools/public-address.js';
import { call, openScope } from './tool-scope.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const local = { privateHosts: ['127.0.0.1'] };

async function fetched(listener: RequestListener, options: FetchOptions = local, signal?: AbortSignal) {
  const port = await serve(listener);
  const { scope } = await openScope(signal);
  return call(fetchTool(options), { url: `http://127.0.0.1:${port}/page` }, scope);
}

describe('a page', () => {
  it('is given as text, also after a redirect', async () => {
    const { output, failed } = await fetched((request, response) => {
      if (request.url === '/page') response.writeHead(302, { location: '/other' }).end();
      else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<p>Grüße</p>');
    });
    expect(failed).toBe(false);
    expect(output).toMatch(/^\[200 http:\/\/127\.0\.0\.1:\d+\/other\]\n<p>Grüße<\/p>$/);
  });

  it('is not asked for at an address of the own network, by number or by name, or after a redirect', async () => {
    let asked = 0;
    const port = await serve((_, response) => {
      asked++;
      response.end('secret');
    });
    const { scope } = await openScope();
    const strict = fetchTool();
    for (const host of [
      '127.0.0.1',
      '[::1]',
      '0x7f.1',
      '2130706433',
      '169.254.169.254',
      '[::ffff:10.0.0.1]',
    ]) {
      await expect(strict.prepare({ url: `http://${host}:${port}/` }, scope)).rejects.toMatchObject({
        code: 'FORBIDDEN',
      });
    }
    const byName = await call(strict, { url: `http://localhost:${port}/` }, scope);
    expect(byName).toMatchObject({ failed: true, output: expect.stringContaining('FORBIDDEN') });
    const redirected = await fetched((_, response) =>
      response.writeHead(302, { location: `http://localhost:${port}/` }).end(),
    );
    expect(redirected).toMatchObject({ failed: true, output: expect.stringContaining('FORBIDDEN') });
    expect(asked).toBe(0);
  });

  it('is not asked for with other protocols or with a password', async () => {
    const { scope } = await openScope();
    for (const url of ['file:///etc/passwd', 'ftp://example.org/', 'nowhere', 'http://a:b@example.org/']) {
      await expect(fetchTool().prepare({ url }, scope)).rejects.toMatchObject({ code: 'INVALID_REQUEST' });
    }
  });

  it('is refused when it is too long, no text, endless, or an error', async () => {
    const why = async (listener: RequestListener, options: FetchOptions = {}) => {
      const { output, failed } = await fetched(listener, { ...local, ...options });
      expect(failed).toBe(true);
      return output;
    };
    expect(await why((_, response) => response.end('x'.repeat(11)), { maxBytes: 10 })).toContain(
      'more than 10 bytes',
    );
    expect(
      await why((_, response) => response.writeHead(200, { 'content-type': 'image/png' }).end('x')),
    ).toContain('image/png');
    expect(await why((_, response) => response.writeHead(404).end('none'))).toContain(
      'it answered 404: none',
    );
    expect(await why((_, response) => response.writeHead(302, { location: '/page' }).end())).toContain(
      'redirects',
    );
    expect(await why((_, response) => response.write('x'), { timeoutMs: 50 })).toContain('more than 0.05 s');
  });

  it('is not waited for when the run is aborted', async () => {
    const abort = new AbortController();
    const running = fetched(() => abort.abort(), local, abort.signal);
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

it('tells public addresses from all others', () => {
  const others = [
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
  ];
  const others6 = [
    '::',
    '::1',
    'fe80::1',
    'fc00::1',
    '::ffff:1.1.1.1',
    '64:ff9b::a00:1',
    '2002:a00:1::',
    'ff02::1',
  ];
  expect([...others, ...others6].filter(isPublicAddress)).toEqual([]);
  expect(['1.1.1.1', '172.32.0.1', '2606:4700:4700::1111'].filter(isPublicAddress).length).toBe(3);
});
