// Does Claude Code work against the server?
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { output } from '../child.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: 'Does Claude Code hold a conversation of several turns with the server?',
  method:
    'tests/clients with the version of Claude Code that `npm run test:clients` has brought: print mode and a terminal, tools, ' +
    'a sub-agent, an interruption; where it is not there, tests/e2e/coding-session, a recorded session of it sent again by ' +
    'both protocols',
  target: 'every test passes',
};

const root = fileURLToPath(new URL('../..', import.meta.url));
const brought = join(root, 'build/clients');

function isBrought() {
  if (!existsSync(brought)) return false;
  return readdirSync(brought).some((name) => existsSync(join(brought, name, 'node_modules/.bin/claude')));
}

/** The report is there also when tests fail, which vitest's status says, too. */
async function reportOf(project, file, path) {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const args = [vitest, 'run', '--project', project, file, '--reporter=json', `--outputFile=${path}`];
  try {
    await output(process.execPath, args, { cwd: root });
  } catch (error) {
    if (!existsSync(path)) throw error;
  }
  return JSON.parse(readFileSync(path, 'utf8'));
}

export async function run({ folder }) {
  const real = isBrought();
  const [project, file] = real
    ? ['clients', 'tests/clients/claude-code.test.ts']
    : ['e2e', 'tests/e2e/coding-session.test.ts'];
  const report = await reportOf(project, file, join(folder, 'report.json'));
  const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const passed = tests.filter(({ status }) => status === 'passed');
  if (tests.length === 0) throw new Error(`${file} ran no test: ${report.testResults[0]?.message}`);
  const faults = tests
    .filter((test) => !passed.includes(test))
    .map(({ fullName, status }) => `${status}: ${fullName}`);
  const how = real
    ? 'with Claude Code itself'
    : 'with its recorded session; `npm run test:clients` brings the program';
  return judged(
    [figure(`tests of ${file}`, tests.length, ''), figure('passed', passed.length, '')],
    faults,
    how,
  );
}
