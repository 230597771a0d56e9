import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DownloadOptions, download, httpSource } from '../../../ts/engine/models/download.js';
import { type FileFaults, type Handler, sendFile, serve, type TestServer } from './file-server.js';

const bytes = randomBytes(300_000);
const sha256 = createHash('sha256').update(bytes).digest('hex');
const host = hostname().replace(/[^A-Za-z0-9-]/g, '-');

let folder: string;
let target: string;
let server: TestServer | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-download-'));
  target = join(folder, 'deep', 'model.gguf');
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function bring(
  handler: Handler,
  options: DownloadOptions = {},
  file = { bytes: bytes.length, sha256 },
) {
  server ??= await serve(handler);
  const source = httpSource(
    { name: 'model.gguf', bytes: file.bytes, digest: { algorithm: 'sha256', hex: file.sha256 } },
    new URL(`${server.url}/model.gguf`),
    {},
  );
  await download(source, target, { retryDelayMs: 1, ...options });
}

const withFaults = (faults: FileFaults) => sendFile(bytes, faults);
const beside = () => readdirSync(join(folder, 'deep'));

describe('download', () => {
  it('brings a file, tells of its progress, and leaves nothing else behind', async () => {
    const seen: number[] = [];
    await bring(withFaults({}), { onBytes: (done) => seen.push(done) });
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(seen.at(-1)).toBe(bytes.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(beside()).toEqual(['model.gguf']);
  });

  it('asks for nothing when the file is there', async () => {
    await bring(withFaults({}));
    await bring(withFaults({}));
    expect(server?.requests).toHaveLength(1);
  });

  it('goes on where the connection was cut, again and again', async () => {
    await bring(withFaults({ cutAfter: 70_000 }));
    expect(readFileSync(target).equals(bytes)).toBe(true);
    const ranges = server?.requests.slice(1) ?? [];
    expect(ranges.length).toBeGreaterThan(2);
    expect(ranges.every((request) => /bytes=[1-9]\d*-$/.test(request))).toBe(true);
  });

  it('begins again with a server that knows no ranges', async () => {
    let answers = 0;
    await bring((request, response) => {
      withFaults(answers++ === 0 ? { cutAfter: 100_000, noRanges: true } : { noRanges: true })(
        request,
        response,
      );
    });
    expect(readFileSync(target).equals(bytes)).toBe(true);
  });

  it('goes on with what an earlier process left', async () => {
    await expect(bring(withFaults({ cutAfter: 0 }))).rejects.toMatchObject({ code: 'MODEL_DOWNLOAD' });
    writeFileSync(`${target}.part`, bytes.subarray(0, 200_000));
    await server?.close();
    server = undefined;
    await bring(withFaults({}));
    expect(server).toHaveProperty('requests', ['GET /model.gguf bytes=200000-']);
    expect(readFileSync(target).equals(bytes)).toBe(true);
  });

  it('takes over the part of a process that died, and leaves that of a living one alone', async () => {
    await bring(withFaults({}));
    rmSync(target);
    const dead = `${target}.part.${host}.999999999.aa`;
    const living = `${target}.part.${host}.${process.pid}.bb`;
    const foreign = `${target}.part.elsewhere.999999999.cc`;
    for (const path of [dead, living, foreign]) writeFileSync(path, bytes.subarray(0, 1000));
    await bring(withFaults({}));
    expect(server?.requests.at(-1)).toBe('GET /model.gguf bytes=1000-');
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(living) && existsSync(foreign)).toBe(true);
  });

  it('throws away an earlier part that was wrong, and begins again', async () => {
    await bring(withFaults({}));
    rmSync(target);
    writeFileSync(`${target}.part`, Buffer.alloc(5000));
    await bring(withFaults({}));
    expect(readFileSync(target).equals(bytes)).toBe(true);
  });

  it('begins again when an earlier part is longer than the file', async () => {
    await bring(withFaults({}));
    rmSync(target);
    writeFileSync(`${target}.part`, Buffer.alloc(bytes.length + 1));
    await bring(withFaults({}));
    expect(readFileSync(target).equals(bytes)).toBe(true);
  });

  it('refuses a file with the wrong checksum and keeps nothing of it', async () => {
    const other = Buffer.from(bytes);
    other[123_456] = (other[123_456] ?? 0) ^ 1;
    await expect(bring(sendFile(other))).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('checksum') as string,
    });
    expect(beside()).toEqual([]);
  });

  it('refuses a file that is longer than it should be', async () => {
    const longer = Buffer.concat([bytes, Buffer.alloc(10)]);
    await expect(bring(sendFile(longer))).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('longer') as string,
    });
  });

  it('gives up on a server that refuses, at once', async () => {
    await expect(bring((_, response) => response.writeHead(404).end())).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('404') as string,
    });
    expect(server?.requests).toHaveLength(1);
  });

  it('gives up on a server that stays out of order, after some attempts', async () => {
    await expect(bring((_, response) => response.writeHead(503).end())).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('503') as string,
    });
    expect(server?.requests).toHaveLength(4);
  });

  it('believes no server that sends another part than it was asked for', async () => {
    await bring(withFaults({}));
    rmSync(target);
    writeFileSync(`${target}.part`, bytes.subarray(0, 1000));
    await server?.close();
    server = undefined;
    const wrong: Handler = (_, response) => {
      response.writeHead(206, { 'content-range': `bytes 5000-${bytes.length - 1}/${bytes.length}` });
      response.end(bytes.subarray(5000));
    };
    await expect(bring(wrong)).rejects.toMatchObject({ code: 'MODEL_DOWNLOAD' });
  });

  it('stops when its signal is aborted, and goes on from there the next time', async () => {
    const abort = new AbortController();
    const slow: Handler = (_, response) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 50_000));
    };
    const onBytes = () => abort.abort();
    await expect(bring(slow, { signal: abort.signal, onBytes })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(beside()).toEqual(['model.gguf.part']);
    await server?.close();
    server = undefined;
    await bring(withFaults({}));
    expect(server).toHaveProperty('requests', [expect.stringMatching(/bytes=[1-9]/)]);
  });

  it('is safe when several bring the same file at once', async () => {
    await Promise.all([bring(withFaults({})), bring(withFaults({})), bring(withFaults({}))]);
    expect(readFileSync(target).equals(bytes)).toBe(true);
    expect(beside()).toEqual(['model.gguf']);
  });

  it('says which folder cannot be written', async () => {
    writeFileSync(join(folder, 'deep'), 'a file in the way');
    await expect(bring(withFaults({}))).rejects.toMatchObject({
      code: 'MODEL_DOWNLOAD',
      message: expect.stringContaining('STOMP_MODEL_DIR') as string,
    });
  });
});
