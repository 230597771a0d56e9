/**
 * clang-tidy over the compile commands of build-tests, some processes at a time. A unit is looked at
 * again only when something it is made from changed: its text, a header of ours, its flags or the rules.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';

function digest(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

/** Every header of ours that a file includes, directly or not, itself first. */
function closure(file, roots, seen = new Set()) {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name] of text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    const found = [dirname(file), ...roots].map((at) => join(at, name)).find((path) => existsSync(path));
    if (found) closure(found, roots, seen);
  }
  return seen;
}

/** One entry per file and command; generated and foreign units are not ours to judge. */
function units(root, tree) {
  const all = JSON.parse(readFileSync(join(tree, 'compile_commands.json'), 'utf8'));
  const isOurs = (entry) => /^(cpp|tests)[\\/]/.test(relative(root, entry.file));
  return [...new Map(all.filter(isOurs).map((entry) => [entry.file, entry])).values()];
}

function tidyOne(program, tree, file) {
  return new Promise((done) => {
    const child = spawn(program, ['-p', tree, '--quiet', file], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.stderr.on('data', (data) => {
      errors += data;
    });
    child.on('error', (error) => done({ ok: false, output: error.message }));
    child.on('close', (code) => done({ ok: code === 0, output: output || errors }));
  });
}

/**
 * @param {{ root: string, tree: string, program: string, version: string }} where
 * @returns {Promise<{ checked: number, failed: string[] }>} how many units were looked at, and which fail
 */
export async function runTidy({ root, tree, program, version }) {
  const store = join(tree, 'tidy.json');
  const clean = existsSync(store) ? JSON.parse(readFileSync(store, 'utf8')) : {};
  const rules = readFileSync(join(root, '.clang-tidy'), 'utf8');
  const roots = [resolve(root, 'cpp/core')];
  const key = ({ file, command }) =>
    digest(version, rules, command, ...[...closure(file, roots)].map((path) => readFileSync(path, 'utf8')));
  const queue = units(root, tree)
    .map((entry) => ({ file: entry.file, key: key(entry) }))
    .filter((unit) => clean[unit.file] !== unit.key);
  const checked = queue.length;
  const failed = [];
  const worker = async () => {
    for (let unit = queue.shift(); unit; unit = queue.shift()) {
      const { ok, output } = await tidyOne(program, tree, unit.file);
      if (ok) clean[unit.file] = unit.key;
      else failed.push(`${relative(root, unit.file)}\n${output.trim()}`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  writeFileSync(store, JSON.stringify(clean));
  return { checked, failed };
}
