/**
 * Security checks that need no service: credentials and oversized files among the tracked ones, and a
 * lock file that pins every package by hash and none by address. Known vulnerabilities of run-time
 * packages are asked of the registry; when it cannot answer, that is said.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findings } from './native/secrets.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function trackedFiles() {
  const { status, stdout } = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error('this is not a git checkout: tracked files cannot be listed');
  return stdout.split('\0').filter((name) => name && existsSync(join(root, name)));
}

function lockFile() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([path]) => path !== '')
    .flatMap(([path, entry]) => {
      if (entry.resolved) return [`package-lock.json: ${path} names an address`];
      return entry.integrity || entry.bundled ? [] : [`package-lock.json: ${path} has no hash`];
    });
}

function audit() {
  const args = ['audit', '--omit=dev', '--audit-level=high', '--json'];
  const { stdout } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', timeout: 120_000 });
  try {
    const { vulnerabilities } = JSON.parse(stdout);
    const serious = Object.values(vulnerabilities).filter((entry) => /high|critical/.test(entry.severity));
    console.log(
      `npm audit: ${Object.keys(vulnerabilities).length} known, ${serious.length} high or critical`,
    );
    return serious.map((entry) => `${entry.name} ${entry.range}: ${entry.severity} vulnerability`);
  } catch {
    console.log('npm audit: NOT CHECKED, the registry gave no answer');
    return [];
  }
}

const files = trackedFiles();
const problems = [
  ...files.flatMap((name) => findings(name, readFileSync(join(root, name)))),
  ...lockFile(),
  ...audit(),
];
for (const problem of problems) console.error(problem);
console.log(`${files.length} tracked files checked, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;
