import { describe, expect, it } from 'vitest';
import { buildCallGraph } from '../../../../ts/reservations/graph/build.js';
import { readFiles } from '../read-files.js';

async function calls(texts: Readonly<Record<string, string>>, caller: string) {
  const graph = buildCallGraph(await readFiles(texts));
  return graph.callees(caller).map(({ callee, confidence }) => `${callee} ${confidence}`);
}

describe('calls in Python', () => {
  const files = {
    'app/__init__.py': 'from .models import User as Person\n',
    'app/models.py': [
      'class Base:',
      '    def save(self): pass',
      'class User(Base):',
      '    def __init__(self): pass',
      '    def rename(self):',
      '        self.save()',
      '        super().save()',
      '    @staticmethod',
      '    def find(): pass',
      'def load(): pass',
    ].join('\n'),
    'app/deep/jobs.py': [
      'import app.models',
      'import app.models as m',
      'from .. import models',
      'from ..models import *',
      'from app import Person, models as again',
      'import json',
      'def plain(): app.models.load()',
      'def alias(): m.load()',
      'def relative(): models.load()',
      'def star(): load()',
      'def passed_on(): Person()',
      'def submodule(): again.load()',
      'def static(): Person.find()',
      'def inherited(): Person.save()',
      'def guessed(x): x.rename()',
      'def outside(): json.dumps(); print()',
    ].join('\n'),
  };

  it.each([
    ['plain', ['app/models.py::load 1']],
    ['alias', ['app/models.py::load 1']],
    ['relative', ['app/models.py::load 1']],
    ['star', ['app/models.py::load 1']],
    ['passed_on', ['app/models.py::User 1', 'app/models.py::User.__init__ 1']],
    ['submodule', ['app/models.py::load 1']],
    ['static', ['app/models.py::User.find 1']],
    ['inherited', ['app/models.py::Base.save 1']],
    ['guessed', ['app/models.py::User.rename 0.5']],
    ['outside', []],
  ])('%s', async (caller, callees) => {
    expect(await calls(files, `app/deep/jobs.py::${caller}`)).toEqual(callees);
  });

  it('go up to base classes', async () => {
    expect(await calls(files, 'app/models.py::User.rename')).toEqual(['app/models.py::Base.save 1']);
  });

  it('are found in a source folder that is no package', async () => {
    const texts = { 'src/shop/a.py': 'def f(): pass', 'tests/t.py': 'from shop.a import f\ndef t(): f()' };
    expect(await calls(texts, 'tests/t.py::t')).toEqual(['src/shop/a.py::f 1']);
  });

  it('mean the innermost function of that name, and never a method without its object', async () => {
    const text =
      'def f(): pass\nclass A:\n    def f(self): pass\n    def g(self):\n        f()\ndef h():\n    def f(): pass\n    f()\n';
    expect(await calls({ 'a.py': text }, 'a.py::A.g')).toEqual(['a.py::f 1']);
    expect(await calls({ 'a.py': text }, 'a.py::h')).toEqual(['a.py::h.f 1']);
  });
});

describe('calls in TypeScript and JavaScript', () => {
  const files = {
    'src/models/index.ts': "export * from './user.js';\nexport { load as fetch } from './load';\n",
    'src/models/user.ts': [
      'export default class User extends Base { save() { this.#log(); super.touch(); } #log() {} static of() {} }',
      'class Base { constructor() {} touch() {} }',
      'export { User as Person };',
      'export const make = () => new User();',
    ].join('\n'),
    'src/models/load.tsx': 'export function load() {}\nexport function View() { return <a/>; }',
    'src/old.js': 'exports.helper = function () {};\nmodule.exports.other = () => exports.helper();',
    'src/app.tsx': [
      "import U, { Person, make } from './models/user.js';",
      "import { Person as Again, fetch } from './models';",
      "import * as ns from './models/index.js';",
      "import { View } from './models/load.js';",
      "import fs from 'node:fs';",
      "const old = require('./old');",
      'const standard = () => U.of();',
      'const renamed = () => Person.of();',
      'const passedOn = () => { Again.of(); fetch(); };',
      'const namespace = () => { ns.fetch(); ns.make(); };',
      'const element = () => <View/>;',
      'const common = () => old.helper();',
      'const outside = () => fs.readFile();',
      'const guessed = (x: any) => x?.touch();',
    ].join('\n'),
  };
  const user = 'src/models/user.ts::User';

  it.each([
    ['src/app.tsx::standard', [`${user}.of 1`]],
    ['src/app.tsx::renamed', [`${user}.of 1`]],
    ['src/app.tsx::passedOn', [`${user}.of 1`, 'src/models/load.tsx::load 1']],
    ['src/app.tsx::namespace', ['src/models/load.tsx::load 1', 'src/models/user.ts::make 1']],
    ['src/app.tsx::element', ['src/models/load.tsx::View 1']],
    ['src/app.tsx::common', ['src/old.js::helper 1']],
    ['src/app.tsx::outside', []],
    ['src/app.tsx::guessed', ['src/models/user.ts::Base.touch 0.5']],
    ['src/old.js::other', ['src/old.js::helper 1']],
    [`${user}.save`, [`${user}.#log 1`, 'src/models/user.ts::Base.touch 1']],
    ['src/models/user.ts::make', [`${user} 1`, 'src/models/user.ts::Base.constructor 1']],
  ])('%s', async (caller, callees) => {
    expect(await calls(files, caller)).toEqual(callees);
  });

  it('count for all overloads together', async () => {
    const text =
      'function f(a: 1): void;\nfunction f(a: 2): void;\nfunction f(a: any) { g(); }\nfunction g() {}';
    const graph = buildCallGraph(await readFiles({ 'a.ts': text }));
    expect(graph.callers('a.ts::g').map(({ caller }) => caller)).toEqual(['a.ts::f']);
    expect(graph.callees('a.ts::f#3').map(({ callee }) => callee)).toEqual(['a.ts::g']);
  });
});

describe('calls in Go', () => {
  const files = {
    'cash/money.go': 'package cash\nfunc Round() {}\n',
    'shop/a.go': 'package shop\ntype Shop struct{ Base }\nfunc New() *Shop { return &Shop{} }\n',
    'shop/b.go': [
      'package shop',
      'import (',
      '  "fmt"',
      '  money "example.com/app/cash/v2"',
      ')',
      'type Base struct{}',
      'func (b *Base) log() { fmt.Println() }',
      'func (s *Shop) Sell() { New(); money.Round(); s.log() }',
    ].join('\n'),
    'fmt/fmt.go': 'package fmt\nfunc Println() {}\n',
  };

  it('are found in the package and in those that it imports', async () => {
    expect(await calls(files, 'shop/b.go::Shop.Sell')).toEqual([
      'shop/a.go::New 1',
      'cash/money.go::Round 1',
      'shop/b.go::Base.log 0.5',
    ]);
  });

  it('are not taken for those of a folder that is called like a package of the language', async () => {
    expect(await calls(files, 'shop/b.go::Base.log')).toEqual([]);
  });

  it('make values of a type', async () => {
    expect(await calls(files, 'shop/a.go::New')).toEqual(['shop/a.go::Shop 1']);
  });
});

describe('callers within a distance', () => {
  const chain = async () =>
    buildCallGraph(
      await readFiles({
        'a.py': 'def a(): b()\ndef b(): c()\ndef c(): d()\ndef d(): a()\ndef x(): c()\nx()\n',
      }),
    );

  it('are told with the shortest path, and circles end', async () => {
    const callers = (await chain()).callersWithin(['a.py::c'], 5);
    expect([...callers.keys()]).toEqual(['a.py::b', 'a.py::x', 'a.py::a', 'a.py', 'a.py::d']);
    expect(callers.get('a.py::a')?.map(({ callee }) => callee)).toEqual(['a.py::b', 'a.py::c']);
  });

  it('are none further away', async () => {
    expect([...(await chain()).callersWithin(['a.py::c'], 1).keys()]).toEqual(['a.py::b', 'a.py::x']);
    expect((await chain()).callersWithin(['a.py::c'], 0).size).toBe(0);
  });

  it('ends where classes are derived from each other, and files pass names on, in a circle', async () => {
    const graph = buildCallGraph(
      await readFiles({
        'a.ts':
          "export * from './b';\nimport { x } from './b';\nexport { x };\nclass A extends B { m() { this.no(); x(); } }\nclass B extends A {}",
        'b.ts': "export * from './a';\nimport { x } from './a';\nexport { x };",
      }),
    );
    expect(graph.callees('a.ts::A.m')).toEqual([]);
  });

  it('ends soon where every file passes on all names of every other, and every class is derived of every other', async () => {
    const count = 12;
    const all = Array.from({ length: count }, (_, i) => i);
    const files = all.map((i) => {
      const others = all.filter((j) => j !== i);
      const stars = others.map((j) => `from m${j} import *`);
      const bases = others.map((j) => `C${j}.D`);
      return [
        `m${i}.py`,
        `${stars.join('\n')}\nclass C${i}(${bases.join(', ')}):\n    def m(self): self.no(); nobody()\n`,
      ];
    });
    const graph = buildCallGraph(await readFiles(Object.fromEntries(files)));
    expect(graph.callees('m0.py::C0.m')).toEqual([]);
  });
});
