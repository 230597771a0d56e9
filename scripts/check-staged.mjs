/**
 * The checks of a commit, on what is staged and in seconds: secrets and file sizes, format and lint of
 * TypeScript and JSON, format of C++ where the pinned tool has been fetched already.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cppToolsIfFetched } from './native/cpp-tools.mjs';
import { findings } from './native/secrets.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`git ${args.join(' ')} failed`);
  return stdout;
}

function succeeds(command, args) {
  return spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0;
}

function secrets(staged) {
  const found = staged.flatMap((name) => findings(name, git('cat-file', 'blob', `:${name}`)));
  for (const line of found) console.error(line);
  return found.length === 0;
}

function biome() {
  const cli = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  if (!existsSync(cli)) return true;
  return succeeds(process.execPath, [cli, 'check', '--staged', '--no-errors-on-unmatched']);
}

function cppFormat(staged) {
  const files = staged.filter((name) => /^(cpp|metal|tests)\/.*\.(cc|h|metal)$/.test(name));
  const tools = cppToolsIfFetched();
  if (!files.length || !tools) return true;
  return succeeds(tools.clangFormat, ['--dry-run', '-Werror', ...files]);
}

const staged = git('diff', '--cached', '--name-only', '--diff-filter=ACMR', '-z')
  .toString('utf8')
  .split('\0')
  .filter(Boolean);
const ok = [secrets(staged), biome(), cppFormat(staged)].every(Boolean);
if (!ok) console.error('stomp-serve: `npm run format` mends the format; see above for the rest');
process.exitCode = ok ? 0 : 1;
