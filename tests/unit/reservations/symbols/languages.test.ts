import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readFile } from '../../../../ts/reservations/symbols/read-file.js';
import type { CallSite } from '../../../../ts/reservations/symbols/symbols.js';

const folder = new URL('../../../fixtures/reservations/', import.meta.url);

const callText = ({ receiver, name }: CallSite) => (receiver === '' ? name : `${receiver}.${name}`);

async function outline(file: string) {
  const content = await readFile(file, readFileSync(new URL(file, folder)));
  const symbols = content.symbols.map(({ kind, name, range, calls, bases }) =>
    [
      `${kind} ${name} ${range.startLine}-${range.endLine}`,
      ...(bases ? [`is ${bases.join(', ')}`] : []),
      ...(calls.length > 0 ? [`calls ${calls.map(callText).join(', ')}`] : []),
    ].join('; '),
  );
  return { ...content, symbols };
}

describe('symbols of each language', () => {
  it('finds those of Python', async () => {
    const found = await outline('sample.py');
    expect(found.problem).toBeUndefined();
    expect(found.symbols).toEqual([
      'import import::os.path 2-2',
      'import import::money 3-3',
      'import import::Account 4-4',
      'import import::Order 4-4',
      'import import::* 5-5',
      'variable RATE 7-7',
      'variable low 8-8',
      'variable high 8-8',
      'function total 11-18; calls cached, sum, line',
      'function total.line 15-16; calls money.times',
      'class Base 21-22',
      'class Shop 25-44; is Base, money.Till',
      'variable Shop.name 28-28',
      'method Shop.open 30-32; calls property, self.door.is_open',
      'method Shop.open#2 34-36; calls open.setter, self.log',
      'method Shop.sell 38-40; calls super, super.sell, total',
      'class Shop.Door 42-44',
      'method Shop.Door.is_open 43-44; calls os.path.exists',
      'function taxed 48-50; calls json.dumps',
      'import import::json 49-49',
      'function taxed#2 52-53',
    ]);
  });

  it('finds those of TypeScript', async () => {
    const found = await outline('sample.ts');
    expect(found.problem).toBeUndefined();
    expect(found.symbols).toEqual([
      'import import::fallback 1-1',
      'import import::first 1-1',
      'import import::second 1-1',
      'import import::path 2-2',
      'import import::Shape 3-3',
      'variable rate 9-10',
      'variable low 11-11',
      'variable high 12-12',
      'variable left 13-13',
      'variable other 13-13',
      'function total 17-23; calls items.reduce, fallback',
      'function total.add 21-21; calls first',
      'function parse 25-25',
      'function parse#2 26-26',
      'function parse#3 27-29; calls Number',
      'class Shop 31-50; is Base, Shape',
      'variable Shop.count 33-33',
      'method Shop.onSale 34-34; calls this.log',
      'method Shop.#secret 35-35',
      'method Shop.constructor 37-39; calls super',
      'method Shop.open 41-43; calls this.door.isOpen',
      'method Shop.open#2 45-47; calls this.log',
      'method Shop.close 49-49',
      'interface Door 52-55; is Shape',
      'method Door.open 53-53',
      'enum Size 57-60',
      'type Name 62-62',
      'module Tools.Deep 64-68',
      'function Tools.Deep.hammer 65-67; calls Shop',
      'variable table 70-74; calls total',
    ]);
  });

  it('finds those of TSX', async () => {
    const found = await outline('sample.tsx');
    expect(found.problem).toBeUndefined();
    expect(found.symbols).toEqual([
      'import import::Button 1-1',
      'interface Props 3-5',
      'function Form 7-15; calls Ui.Frame, Button, format',
      'function Form.send 8-8; calls submit',
      'function App 17-19; calls Form',
    ]);
  });

  it('finds those of JavaScript', async () => {
    const found = await outline('sample.js');
    expect(found.problem).toBeUndefined();
    expect(found.symbols).toEqual([
      'import import::fs 1-1',
      'import import::join 2-2',
      'import import::absolute 2-2',
      'import import::thing 3-3',
      'function count 5-7; calls thing',
      'class Shop 9-15; is Base',
      'variable Shop.price 10-10',
      'method Shop.#log 11-11; calls fs.log',
      'method Shop.sell 12-14; calls Base.Deal',
      'class Local 17-19',
      'method Local.run 18-18',
      'function old 21-23; calls join, absolute',
      'function helper 25-27; calls old',
      'function other 29-29; calls exports.helper',
      'function default 31-31; calls count',
    ]);
  });

  it('finds those of Go', async () => {
    const found = await outline('sample.go');
    expect(found.problem).toBeUndefined();
    expect(found.symbols).toEqual([
      'import import::fmt 5-5',
      'import import::money 6-6',
      'import import::* 7-7',
      'variable Rate 10-11',
      'variable Low 14-14',
      'variable High 15-15',
      'variable left 18-18',
      'variable right 18-18',
      'function Total 20-25; calls money.Times, fmt.Println, line, ToUpper',
      'class Base 27-27',
      'class Shop 29-34; is Base, Door',
      'method Shop.Sell 36-40; calls s.log, s.door.Open, Base',
      'method Door.Open 42-42',
      'interface Opener 44-46',
      'method Opener.Open 45-45',
      'type Name 49-49',
      'type Size 50-50',
    ]);
  });
});

describe('imports and exports', () => {
  const words = (file: string) =>
    outline(file).then(({ imports, exports = [] }) => ({
      imports: imports.map(({ local, imported, module }) => `${imported} of ${module} as ${local}`),
      exports: exports.map(
        ({ local, imported, module }) => `${imported} of ${module || 'itself'} as ${local}`,
      ),
    }));

  it('tells what Python imports', async () => {
    expect((await words('sample.py')).imports).toEqual([
      '* of os.path as os.path',
      '* of app.money as money',
      'User of app.models as Account',
      'Order of app.models as Order',
      '* of .tools as *',
      '* of json as json',
    ]);
  });

  it('tells what TypeScript imports, passes on and calls otherwise', async () => {
    expect(await words('sample.ts')).toEqual({
      imports: [
        'default of ./other.js as fallback',
        'a of ./other.js as first',
        'second of ./other.js as second',
        '* of node:path as path',
        'Shape of ./shape.js as Shape',
      ],
      exports: [
        'helper of ./helper.js as helper',
        'first of itself as renamed',
        '* of ./all.js as *',
        'Shop of itself as default',
      ],
    });
  });

  it('takes require for an import', async () => {
    expect((await words('sample.js')).imports).toEqual([
      '* of fs as fs',
      'join of path as join',
      'resolve of path as absolute',
      'default of ./thing.js as thing',
    ]);
  });

  it('names a Go package by the last part of its path', async () => {
    expect((await words('sample.go')).imports).toEqual([
      '* of fmt as fmt',
      '* of example.com/app/cash/v2 as money',
      '* of strings as *',
    ]);
  });
});
