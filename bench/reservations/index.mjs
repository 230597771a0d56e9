// How long it takes to know a repository: `node bench/reservations/index.mjs [--files 5000] [--reservations 1000]`, after
// `npm run build:ts`. It makes a repository in a temporary folder, half Python and half TypeScript, of 10 functions and
// a class with 8 methods in each file, which call each other across files; indexes it cold and warm, builds the graph of
// calls, and forecasts for agents who reserve symbols of it by chance.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { forecast } from '../../dist/reservations/forecast/forecast.js';
import { buildCallGraph } from '../../dist/reservations/graph/build.js';
import { SymbolIndex } from '../../dist/reservations/symbols/index.js';
import { WorkingTree } from '../../dist/reservations/symbols/working-tree.js';

const { values } = parseArgs({
  options: {
    files: { type: 'string', default: '5000' },
    reservations: { type: 'string', default: '1000' },
    threads: { type: 'string', default: '2' },
  },
});
const fileCount = Number(values.files);
const filesPerFolder = 50;

// The same numbers on every run.
let state = 1;
function random(below) {
  state = (state * 48271) % 2147483647;
  return state % below;
}

const placeOf = (i) => `m${Math.floor(i / filesPerFolder)}/f${i}`;

function pythonFile(i) {
  const others = [random(i + 1), random(i + 1), random(i + 1)];
  const imports = others.map((j) => `from ${placeOf(j).replace('/', '.')} import fn0 as from_${j}`);
  const functions = Array.from({ length: 10 }, (_, k) =>
    [
      '',
      '# Says what it does.',
      `def fn${k}(first: int, second: str = "x") -> int:`,
      `    total = from_${others[k % 3]}(first, second)`,
      '    for item in range(first):',
      '        if item % 2 == 0:',
      `            total += len(second) * ${k} + helper_${k}(item)`,
      `    return ${k > 0 ? `fn${k - 1}(total)` : 'total'}`,
    ].join('\n'),
  );
  const methods = Array.from({ length: 8 }, (_, k) =>
    [
      `    def method_${i % 97}_${k}(self, value):`,
      `        """Keeps ${k}."""`,
      `        self.value_${k} = value or fn${k}(value)`,
      `        return self.method_${i % 97}_${(k + 1) % 8}(value)`,
      '',
    ].join('\n'),
  );
  return `${imports.join('\n')}\n${functions.join('\n')}\n\nclass Thing${i}:\n${methods.join('\n')}`;
}

function typescriptFile(i) {
  const others = [random(i + 1), random(i + 1), random(i + 1)];
  const imports = others.map((j) => `import { fn0 as from${j} } from '../${placeOf(j)}.js';`);
  const functions = Array.from({ length: 10 }, (_, k) =>
    [
      '',
      '/** Says what it does. */',
      `export function fn${k}(first: number, second = 'x'): number {`,
      `  let total = from${others[k % 3]}(first, second);`,
      '  for (let item = 0; item < first; item += 1) {',
      `    if (item % 2 === 0) total += second.length * ${k} + Math.max(item, helper(${k}));`,
      '  }',
      `  return ${k > 0 ? `fn${k - 1}(total)` : 'total'};`,
      '}',
    ].join('\n'),
  );
  const methods = Array.from({ length: 8 }, (_, k) =>
    [
      `  method_${i % 97}_${k}(value: number): number {`,
      `    this.value${k} = value || fn${k}(value);`,
      `    return this.method_${i % 97}_${(k + 1) % 8}(value);`,
      '  }',
      '',
    ].join('\n'),
  );
  return `${imports.join('\n')}\n${functions.join('\n')}\n\nexport class Thing${i} {\n${methods.join('\n')}}\n`;
}

function writeRepository(root) {
  execFileSync('git', ['init', '-q'], { cwd: root });
  for (let i = 0; i < fileCount; i += 1) {
    const isPython = Math.floor(i / filesPerFolder) % 2 === 0;
    const file = join(root, `${placeOf(i)}.${isPython ? 'py' : 'ts'}`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, isPython ? pythonFile(i) : typescriptFile(i));
  }
}

async function timed(what, work) {
  const start = performance.now();
  const result = await work();
  console.log(`${what}: ${Math.round(performance.now() - start)} ms`);
  return result;
}

function reservationsOf(files, count) {
  const addresses = files.flatMap(({ path, symbols }) =>
    symbols.filter(({ kind }) => kind !== 'import').map(({ name }) => `${path}::${name}`),
  );
  return Array.from({ length: count }, (_, i) => ({
    reservationId: String(i),
    runId: `agent-${i % 50}`,
    branch: 'main',
    addresses: [addresses[random(addresses.length)]],
    createdAt: new Date(0),
    expiresAt: new Date(1),
    operation: 'modify',
  }));
}

const root = mkdtempSync(join(tmpdir(), 'reservations-bench-'));
const cachePath = join(root, '.git/stomp-serve/symbols.db');
const open = () =>
  SymbolIndex.open({
    tree: (cache) => new WorkingTree(root, cache),
    cachePath,
    threads: Number(values.threads),
  });
try {
  writeRepository(root);
  const { files } = await timed('index, cold', open);
  for (let i = 0; i < 3; i += 1) await timed('index, warm', open);
  const graph = await timed('graph of calls', () => buildCallGraph(files));
  const reservations = reservationsOf(files, Number(values.reservations));
  for (let i = 0; i < 3; i += 1) {
    const result = await timed(`forecast for ${reservations.length} reservations`, () =>
      forecast({ reservations, intents: [], files, graph }),
    );
    console.log(`  ${result.conflicts.length} conflicts`);
  }
  const symbols = files.reduce((sum, file) => sum + file.symbols.length, 0);
  const memory = Math.round(process.memoryUsage().rss / 2 ** 20);
  console.log(`${files.length} files, ${symbols} symbols, ${memory} MB of memory`);
} finally {
  rmSync(root, { recursive: true, force: true });
}
