import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type MlxSetupOptions, mlxDownload, setUpMlx } from '../../../ts/engine/mlx-setup.js';
import type { WheelFile } from '../../../ts/engine/models/wheel-archive.js';
import { findMlxLibrary, type MlxHome, mlxFolders } from '../../../ts/mlx-home.js';
import { zipArchive } from './archive.js';
import { sendFile, serve, type TestServer } from './file-server.js';

const root = resolve(import.meta.dirname, '../../..');
const mlx = randomBytes(50_000);
const archive = zipArchive([
  { name: 'mlx/__init__.py', bytes: Buffer.from('') },
  { name: 'mlx/lib/libmlx.so', bytes: mlx },
  { name: 'mlx/include/mlx/mlx.h', bytes: Buffer.from('//') },
  { name: 'mlx_cpu.libs/libblas.so.3', bytes: Buffer.from('blas') },
  { name: 'mlx_cpu-1.0.dist-info/licenses/LICENSE', bytes: Buffer.from('MIT') },
  { name: 'mlx_cpu-1.0.dist-info/licenses/../../../escaped', bytes: Buffer.from('no') },
]);
const wheel: WheelFile = {
  package: 'mlx-cpu',
  version: '1.0',
  file: 'mlx_cpu-1.0-py3-none-any.whl',
  bytes: archive.length,
  sha256: createHash('sha256').update(archive).digest('hex'),
};

let folder: string;
let home: MlxHome;
let server: TestServer | undefined;

/** A package that brings the executor and has nothing built. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'stomp-mlx-'));
  const packageRoot = join(folder, 'package');
  const shipped = join(packageRoot, 'prebuilds', 'linux-x64', 'mlx');
  mkdirSync(join(shipped, 'notices', 'mlx-c'), { recursive: true });
  writeFileSync(join(shipped, 'libstomp_mlx.so'), 'executor');
  writeFileSync(join(shipped, 'notices', 'mlx-c', 'LICENSE'), 'MIT');
  for (const part of ['cpp/deps', 'scripts/native'])
    cpSync(join(root, part), join(packageRoot, part), { recursive: true });
  home = { packageRoot, platform: 'linux', arch: 'x64', env: { XDG_CACHE_HOME: join(folder, 'cache') } };
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function index(send = sendFile(archive)): Promise<MlxSetupOptions> {
  server = await serve((request, response) => {
    if (request.url === '/simple/mlx-cpu/') {
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end(`<a href="/files/${wheel.file}">it</a>`);
    } else send(request, response);
  });
  return options({ STOMP_PACKAGE_INDEX: `${server.url}/simple` });
}

function options(env: NodeJS.ProcessEnv): MlxSetupOptions {
  const python = { env, python: () => Promise.reject(new Error('spawn python3 ENOENT')) };
  return { home, wheel, python, retryDelayMs: 1, signal: undefined, onProgress: () => undefined };
}

const prebuilds = () => join(home.packageRoot, 'prebuilds', 'linux-x64');

describe('setting up MLX', () => {
  it('puts executor, MLX and notices together in the package, and nothing else', async () => {
    expect(findMlxLibrary(home)).toBeUndefined();
    const { library, brought } = await setUpMlx(await index());
    expect(brought).toBe(true);
    expect(findMlxLibrary(home)).toBe(library);
    const target = dirname(library);
    expect(dirname(target)).toBe(prebuilds());
    expect(readFileSync(join(target, 'mlx', 'lib', 'libmlx.so')).equals(mlx)).toBe(true);
    const files = readdirSync(target, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    expect(files.map((one) => one.name).sort()).toEqual(
      ['LICENSE', 'LICENSE', 'libblas.so.3', 'libmlx.so', 'libstomp_mlx.so'].sort(),
    );
    expect(readdirSync(prebuilds()).sort()).toEqual([basename(target), 'mlx'].sort());
  });

  it('asks nobody when it is there', async () => {
    const { library } = await setUpMlx(await index());
    const before = server?.requests.length;
    expect(await setUpMlx(options({}))).toEqual({ library, brought: false });
    expect(server?.requests).toHaveLength(before ?? -1);
    expect(await mlxDownload(home)).toBeUndefined();
  });

  it('goes on where it was cut off', async () => {
    let cut = true;
    const { library } = await setUpMlx(
      await index((request, response) => {
        sendFile(archive, cut ? { cutAfter: 20_000 } : {})(request, response);
        cut = false;
      }),
    );
    expect(server?.requests.at(-1)).toMatch(/bytes=20000-$/);
    expect(existsSync(library)).toBe(true);
  });

  it('uses the cache folder where the package cannot be written', async () => {
    // A file in the way refuses root, too, which takes no notice of modes.
    const blocked = { ...home, packageRoot: home.packageRoot };
    const [own = '', cache = ''] = mlxFolders(blocked);
    expect(dirname(cache)).toBe(join(folder, 'cache', 'stomp-serve'));
    const target = await targetWhere(own);
    expect(dirname(target)).toBe(cache);
    expect(findMlxLibrary(home)).toBe(target);
  });

  /** Sets up with the folder beside `own` closed to others. */
  async function targetWhere(own: string): Promise<string> {
    const bringing = await index();
    chmodSync(dirname(own), 0o555);
    try {
      if (process.getuid?.() === 0) return await asNobody(bringing);
      return (await setUpMlx(bringing)).library;
    } finally {
      chmodSync(dirname(own), 0o755);
    }
  }

  async function asNobody(bringing: MlxSetupOptions): Promise<string> {
    const nobody = 65_534;
    chmodSync(folder, 0o777);
    process.seteuid?.(nobody);
    try {
      return (await setUpMlx(bringing)).library;
    } finally {
      process.seteuid?.(0);
    }
  }

  it('takes a wheel that is on this machine, and leaves it there', async () => {
    const file = join(folder, 'mine.whl');
    writeFileSync(file, archive);
    const { library } = await setUpMlx({ ...options({}), wheelFile: file });
    expect(existsSync(library)).toBe(true);
    expect(readFileSync(file).equals(archive)).toBe(true);
  });

  it('refuses a wheel that is not the pinned one, and keeps nothing of it', async () => {
    const other = Buffer.from(archive);
    other[100] = (other[100] ?? 0) ^ 1;
    const file = join(folder, 'other.whl');
    writeFileSync(file, other);
    await expect(setUpMlx({ ...options({}), wheelFile: file })).rejects.toMatchObject({
      code: 'EXECUTOR_UNAVAILABLE',
      message: expect.stringContaining('has SHA-256') as string,
    });
    await expect(setUpMlx(await index(sendFile(other)))).rejects.toMatchObject({
      code: 'EXECUTOR_UNAVAILABLE',
      message: expect.stringContaining('its checksum is wrong') as string,
    });
    expect(readdirSync(prebuilds())).toEqual(['mlx']);
  });

  it('brings an archive anew that was left here and is not the pinned one, though of its size', async () => {
    const [own = ''] = mlxFolders(home);
    const other = Buffer.from(archive);
    other[100] = (other[100] ?? 0) ^ 1;
    writeFileSync(`${own}.whl`, other);
    const { library } = await setUpMlx(await index());
    expect(readFileSync(join(dirname(library), 'mlx', 'lib', 'libmlx.so')).equals(mlx)).toBe(true);
    expect(existsSync(`${own}.whl`)).toBe(false);
  });

  it('takes an archive that was left here and is the pinned one, and asks nobody', async () => {
    const [own = ''] = mlxFolders(home);
    writeFileSync(`${own}.whl`, archive);
    expect(existsSync((await setUpMlx(options({}))).library)).toBe(true);
  });

  it('keeps no archive that cannot be unpacked', async () => {
    const broken = zipArchive([{ name: 'mlx/lib/libmlx.so', bytes: mlx, method: 99 }]);
    const sha256 = createHash('sha256').update(broken).digest('hex');
    const pinned = { ...(await index(sendFile(broken))), wheel: { ...wheel, bytes: broken.length, sha256 } };
    await expect(setUpMlx(pinned)).rejects.toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
    expect(readdirSync(prebuilds())).toEqual(['mlx']);
  });

  it('says what to do without a network', async () => {
    const offline = await index();
    await server?.close();
    server = undefined;
    await expect(setUpMlx(offline)).rejects.toMatchObject({
      code: 'EXECUTOR_UNAVAILABLE',
      message: expect.stringMatching(
        /ECONNREFUSED.*nor by pip.*STOMP_PACKAGE_INDEX.*stomp-serve setup mlx FILE/s,
      ) as string,
    });
    expect(readdirSync(prebuilds())).toEqual(['mlx']);
  });

  it('is safe when several set it up at once', async () => {
    const bringing = await index();
    const all = await Promise.all([1, 2, 3].map(() => setUpMlx(bringing)));
    expect(new Set(all.map((one) => one.library)).size).toBe(1);
    expect(readdirSync(prebuilds())).toHaveLength(2);
  });

  it('keeps what belongs to another version of the package apart', async () => {
    await setUpMlx(await index());
    writeFileSync(join(prebuilds(), 'mlx', 'libstomp_mlx.so'), 'another executor');
    expect(findMlxLibrary(home)).toBeUndefined();
  });

  it('says so where the package brings no executor', async () => {
    const elsewhere = { ...home, platform: 'win32' as const };
    await expect(setUpMlx({ ...options({}), home: elsewhere })).rejects.toMatchObject({
      code: 'EXECUTOR_UNAVAILABLE',
      message: expect.stringContaining('no MLX executor for win32-x64') as string,
    });
    expect(mlxFolders(elsewhere)).toEqual([]);
  });

  it('knows the wheel that is pinned for this machine, by name and size', async () => {
    const pinned = await mlxDownload(home);
    expect(pinned?.file).toMatch(/^mlx_(cpu|metal)-\d+\.\d+\.\d+-py3-none-\w+\.whl$/);
    expect(pinned?.bytes).toBeGreaterThan(1e6);
  });
});
