/** Schemathesis, which makes requests of every kind out of an OpenAPI document. Brought from PyPI on first use. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';

const version = '4.32.5';
const folder = join(import.meta.dirname, `../../node_modules/.cache/stomp-serve/schemathesis-${version}`);

/** @throws when there is no Python with pip. */
export function bringSchemathesis(): void {
  if (existsSync(folder)) return;
  const fresh = `${folder}.${process.pid}`;
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', fresh];
  const { status, stderr } = spawnSync('python3', [...pip, `schemathesis==${version}`], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Schemathesis needs python3 with pip, and PyPI:\n${stderr}`);
  renameSync(fresh, folder);
}

/** Runs it to its end. @param cwd where it leaves its notes */
export function schemathesis(
  url: string,
  options: readonly string[],
  cwd: string,
): Promise<{ code: number | null; output: string }> {
  const child = spawn('python3', [join(folder, 'bin', 'schemathesis'), 'run', url, ...options], {
    cwd,
    env: { ...process.env, PYTHONPATH: folder, NO_COLOR: '1', PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output }));
  });
}
