/** Two agents in processes of their own on one clone: warned before, merged after. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { newFolder, TestRepository } from '../integration/reservations/repositories.js';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));

type Answer = Record<string, unknown>;

async function stomp(folder: string, ...args: string[]): Promise<Answer> {
  const { stdout } = await promisify(execFile)(process.execPath, [main, ...args, '--json'], { cwd: folder });
  return JSON.parse(stdout) as Answer;
}

let repository: TestRepository;
/** Working trees of the two agents. */
let ann: string;
let bob: string;
beforeEach(() => {
  repository = new TestRepository();
  repository.commit({
    'tsconfig.json':
      '{"compilerOptions": {"strict": true, "module": "nodenext", "noEmit": true}, "include": ["src"]}',
    'package.json': '{"type": "module"}',
    'src/tax.ts': [
      'export function rate(country: string): number {',
      "  return country === 'de' ? 0.19 : 0.2;",
      '}',
      '',
      'export class Receipt {',
      '  print(net: number): string {',
      "    return 'EUR ' + net;",
      '  }',
      '',
      '  total(net: number): number {',
      "    return net * (1 + rate('de'));",
      '  }',
      '}',
      '',
    ].join('\n'),
    'src/shop.ts': [
      "import { Receipt } from './tax.js';",
      '',
      'export function sell(net: number): string {',
      '  const receipt = new Receipt();',
      '  return receipt.print(receipt.total(net));',
      '}',
      '',
    ].join('\n'),
    'app/price.py': 'def price(net):\n    return net\n\n\ndef label(net):\n    return str(price(net))\n',
  });
  ann = path.join(newFolder(), 'ann');
  bob = path.join(newFolder(), 'bob');
  repository.git('worktree', 'add', '-q', '-b', 'feat/ann', ann);
  repository.git('worktree', 'add', '-q', '-b', 'feat/bob', bob);
});

describe('an agent that is about to touch', () => {
  it.each([
    ['the same function', 'src/tax.ts::rate', 'src/tax.ts::rate', 'address_overlap'],
    ['its caller', 'src/tax.ts::rate', 'src/tax.ts::Receipt.total', 'blast_radius_overlap'],
    [
      'a caller of its caller in another file',
      'src/tax.ts::rate',
      'src/shop.ts::sell',
      'blast_radius_overlap',
    ],
    ['its class', 'src/tax.ts::Receipt.print', 'src/tax.ts::Receipt', 'containment_overlap'],
    ['its file', 'src/tax.ts::rate', 'src/tax.ts', 'containment_overlap'],
    ['its caller in Python', 'app/price.py::price', 'app/price.py::label', 'blast_radius_overlap'],
  ])('%s is warned by another process', async (_, first, second, type) => {
    await stomp(ann, 'reserve', first, '--run-id', 'ann');
    const answer = await stomp(bob, 'reserve', second, '--run-id', 'bob', '--forecast');
    expect(answer['conflicts']).toEqual([
      expect.objectContaining({ conflict_type: type, agents: ['ann@feat/ann', 'bob@feat/bob'] }),
    ]);
    const forecast = await stomp(ann, 'forecast');
    expect(forecast).toMatchObject({ active_reservations: 2, conflicts: answer['conflicts'] });
  });
});

it('what the two did becomes one, with the edits of both, that compiles', async () => {
  const change = (folder: string, file: string, from: string, to: string) => {
    const before = readFileSync(path.join(folder, file), 'utf8');
    expect(before).toContain(from);
    new TestRepository(folder).commit({ [file]: before.replace(from, to) });
  };
  change(ann, 'src/tax.ts', '0.19 : 0.2', '0.19 : 0.21');
  change(ann, 'src/shop.ts', 'sell(net: number)', 'sellAll(net: number)');
  change(ann, 'app/price.py', '    return net\n', '    return round(net, 2)\n');
  change(bob, 'src/tax.ts', "'EUR ' + net", "'EUR ' + net.toFixed(2)");
  change(
    bob,
    'src/shop.ts',
    'receipt.print(receipt.total(net))',
    "'Sold: ' + receipt.print(receipt.total(net))",
  );
  change(bob, 'app/price.py', 'str(price(net))', "f'{price(net)} EUR'");

  const out = path.join(newFolder(), 'merged');
  const plan = await stomp(repository.folder, 'plan-merge', 'feat/ann', 'feat/bob', '--out', out);
  expect(plan).toMatchObject({
    is_clean: true,
    conflicts: [{ kind: 'dependency_conflict' }, { kind: 'rename_edit' }],
  });

  const text = (file: string) => readFileSync(path.join(out, file), 'utf8');
  expect(text('src/tax.ts')).toContain('0.19 : 0.21');
  expect(text('src/tax.ts')).toContain('toFixed(2)');
  expect(text('src/shop.ts')).toMatch(/sellAll.*'Sold: '/s);
  expect(existsSync(path.join(out, 'package.json'))).toBe(false);

  const project = newFolder();
  cpSync(ann, project, { recursive: true, filter: (file) => path.basename(file) !== '.git' });
  cpSync(out, project, { recursive: true });
  execFileSync(process.execPath, [tsc, '-p', project], { stdio: 'inherit' });
  execFileSync('python3', ['-c', 'import app.price; assert app.price.label(1.234) == "1.23 EUR"'], {
    cwd: project,
    stdio: 'inherit',
  });
});
