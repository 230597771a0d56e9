import { describe, expect, it } from 'vitest';
import { forecast } from '../../../../ts/reservations/forecast/forecast.js';
import { buildCallGraph } from '../../../../ts/reservations/graph/build.js';
import type { Conflict, Intent, Reservation } from '../../../../ts/reservations/types.js';
import { readFiles } from '../read-files.js';
import { intend, reserve } from './announce.js';

const python = {
  'a.py':
    'class User:\n    def save(self): pass\n    def load(self): pass\n\ndef total(): pass\n\ndef other(): pass\n',
  'b.py': 'from a import total\n\ndef report():\n    return total()\n\ndef send():\n    report()\n',
};
const typescript = {
  'a.ts':
    'export class User { save() {} load() {} }\nexport function total() {}\nexport function other() {}\n',
  'b.ts':
    "import { total } from './a.js';\nexport const report = () => total();\nexport function send() { report(); }\n",
};

async function foresee(
  texts: Readonly<Record<string, string>>,
  reservations: readonly Reservation[],
  intents: readonly Intent[] = [],
) {
  const files = await readFiles(texts);
  return forecast({ reservations, intents, files, graph: buildCallGraph(files) });
}

const brief = ({ conflictType, addresses, confidence }: Conflict) =>
  `${conflictType} ${confidence}: ${addresses.join(', ')}`;

describe.each([
  ['Python', python, 'py'],
  ['TypeScript', typescript, 'ts'],
])('a forecast for %s', (_, texts, ending) => {
  const at = (file: string, name: string) => `${file}.${ending}${name === '' ? '' : `::${name}`}`;
  const briefs = async (reservations: Reservation[], intents: Intent[] = []) =>
    (await foresee(texts, reservations, intents)).conflicts.map(brief);

  it('sees two agents at one address', async () => {
    const found = await briefs([reserve('a', at('a', 'total')), reserve('b', at('a', 'total'))]);
    expect(found).toEqual([`address_overlap 1: ${at('a', 'total')}`]);
  });

  it.each([
    ['caller', 'callee'],
    ['callee', 'caller'],
  ])('sees that the agent who reserves the %s meets the one who reserves the %s', async (first) => {
    const both = [reserve('a', at('a', 'total')), reserve('b', at('b', 'send'))];
    const { conflicts } = await foresee(texts, first === 'caller' ? both.toReversed() : both);
    expect(conflicts.map(brief)).toEqual([
      `blast_radius_overlap 0.75: ${at('a', 'total')}, ${at('b', 'send')}`,
    ]);
    expect(conflicts[0]?.agents).toEqual(['a@main', 'b@main']);
    expect(conflicts[0]?.callPath).toEqual([at('b', 'send'), at('b', 'report'), at('a', 'total')]);
    expect(conflicts[0]?.description).toContain(`${at('b', 'report')} → ${at('a', 'total')}`);
  });

  it.each([
    ['a class', 'a', 'User'],
    ['a file', 'a', ''],
  ])('sees a member inside of %s', async (_what, file, outer) => {
    const found = await briefs([reserve('a', at(file, outer)), reserve('b', at(file, 'User.save'))]);
    expect(found).toEqual([`containment_overlap 0.95: ${at(file, outer)}, ${at(file, 'User.save')}`]);
  });

  it('sees callers of what is in a class or a file that is reserved as a whole', async () => {
    const found = await briefs([reserve('a', at('a', '')), reserve('b', at('b', ''))]);
    expect(found).toEqual([`blast_radius_overlap 0.75: ${at('a', '')}, ${at('b', '')}`]);
  });

  it('sees that a signature changes under a caller', async () => {
    const caller = reserve('b', at('b', 'report'));
    const line = `signature_dependency 0.85: ${at('a', 'total')}, ${at('b', 'report')}`;
    for (const operation of ['rename', 'delete', 'move'] as const)
      expect(await briefs([caller, reserve('a', at('a', 'total'), operation)])).toEqual([line]);
    const detail = 'add a parameter for the currency';
    expect(await briefs([caller], [intend('a', at('a', 'total'), 'modify', detail)])).toEqual([line]);
    expect(await briefs([caller], [intend('a', at('a', 'total'), 'modify', 'faster')])).toEqual([
      `blast_radius_overlap 0.75: ${at('a', 'total')}, ${at('b', 'report')}`,
    ]);
  });

  it('sees different symbols of one file, once', async () => {
    const found = await briefs([
      reserve('a', [at('a', 'total'), at('a', 'User.save')]),
      reserve('b', [at('a', 'other'), at('a', 'User.load')]),
    ]);
    expect(found).toEqual([
      `file_overlap 0.4: ${['User.load', 'User.save', 'other', 'total'].map((name) => at('a', name)).join(', ')}`,
    ]);
  });
});

describe('operations', () => {
  const conflictsOf = async (one: Intent, other: Intent) =>
    (await foresee(python, [], [one, other])).conflicts.filter(
      ({ conflictType }) => conflictType === 'operation_conflict',
    );

  it.each(['modify', 'rename', 'extract', 'move'] as const)(
    'to delete and to %s exclude each other',
    async (other) => {
      const found = await conflictsOf(
        intend('a', 'a.py::total', 'delete'),
        intend('b', 'a.py::total', other),
      );
      expect(found.map(({ description }) => description)).toEqual([
        `a@main will delete a.py::total, while b@main will ${other} a.py::total.`,
      ]);
    },
  );

  it('that give one thing two names or places exclude each other, others do not', async () => {
    const both = (a: Intent['operation'], b: Intent['operation']) =>
      conflictsOf(intend('a', 'a.py::total', a), intend('b', 'a.py::total', b));
    expect(await both('rename', 'rename')).toHaveLength(1);
    expect(await both('move', 'move')).toHaveLength(1);
    expect(await both('modify', 'rename')).toHaveLength(0);
    expect(await both('delete', 'delete')).toHaveLength(0);
  });

  it('exclude each other when the class of what is edited is deleted', async () => {
    expect(
      await conflictsOf(intend('a', 'a.py::User', 'delete'), intend('b', 'a.py::User.save', 'modify')),
    ).toHaveLength(1);
    expect(
      await conflictsOf(intend('a', 'a.py::User', 'modify'), intend('b', 'a.py::User.save', 'delete')),
    ).toHaveLength(0);
  });

  it('of one agent never do', async () => {
    expect(
      await conflictsOf(intend('a', 'a.py::total', 'modify'), intend('a', 'a.py::total', 'delete')),
    ).toEqual([]);
  });
});

describe('agents', () => {
  it('are the same only when both their run and their branch are', async () => {
    const at = (agent: string) => reserve(agent, 'a.py::total');
    expect((await foresee(python, [at('a@x'), at('a@x')])).conflicts).toEqual([]);
    expect((await foresee(python, [at('a@x'), at('a@y')])).conflicts).toHaveLength(1);
    expect((await foresee(python, [at('a@x'), at('b@x')])).conflicts).toHaveLength(1);
  });
});

describe('the figures of a forecast', () => {
  it('count what is active and how sure conflicts are', async () => {
    const result = await foresee(
      python,
      [
        reserve('a', ['a.py::total', 'a.py::User.save']),
        reserve('b', ['a.py::total', 'b.py::send', 'a.py::User.load']),
      ],
      [intend('a', 'a.py::total', 'modify')],
    );
    expect(result).toMatchObject({
      activeReservations: 2,
      intents: 1,
      highRisk: 1,
      mediumRisk: 1,
      lowRisk: 1,
      warnings: [],
    });
  });

  it('take overloads and other twins for one symbol', async () => {
    const text = 'function f(a: 1): void;\nfunction f(a: any) {}\n';
    const { conflicts, warnings } = await foresee({ 'a.ts': text }, [
      reserve('a', 'a.ts::f'),
      reserve('b', 'a.ts::f#2'),
    ]);
    expect(conflicts.map(brief)).toEqual(['address_overlap 1: a.ts::f, a.ts::f#2']);
    expect(warnings).toEqual([]);
  });

  it('come with warnings about addresses that say more than is known', async () => {
    const files = [
      ...(await readFiles(python)),
      {
        path: 'bad.py',
        contentId: '1',
        language: 'python',
        symbols: [],
        imports: [],
        calls: [],
        problem: 'Why.',
      },
    ];
    const reservations = [reserve('a', ['a.py::nobody', 'bad.py::f', 'bad.py', 'new.py::f', 'a.py::User'])];
    const { warnings } = forecast({ reservations, intents: [], files, graph: buildCallGraph(files) });
    expect(warnings).toEqual([
      { subject: 'a.py::nobody', reason: 'There is no such symbol yet.' },
      { subject: 'bad.py::f', reason: 'Only the file as a whole is known: Why.' },
      { subject: 'new.py::f', reason: 'There is no such file yet.' },
    ]);
  });
});

describe('a forecast for a thousand reservations', () => {
  it('takes less than 200 ms of computing', async () => {
    const names = Array.from({ length: 500 }, (_, i) => i);
    const texts = Object.fromEntries(
      names.map((i) => [
        `f${i}.py`,
        `from f${(i * 7 + 1) % 500} import a, b\nfrom f${(i * 3 + 2) % 500} import c\n` +
          'def a(): b(); c()\ndef b(): pass\ndef c(): a()\nclass K:\n    def m(self): a()\n',
      ]),
    );
    const files = await readFiles(texts);
    const graph = buildCallGraph(files);
    const symbols = ['a', 'b', 'c', 'K', 'K.m'];
    const reservations = Array.from({ length: 1000 }, (_, i) =>
      reserve(`agent${i % 40}`, `f${(i * 13) % 500}.py::${symbols[i % symbols.length]}`),
    );
    const tries = Array.from({ length: 5 }, () => {
      const before = process.cpuUsage();
      forecast({ reservations, intents: [], files, graph });
      return process.cpuUsage(before).user / 1000;
    });
    // The first ones pay for compiling.
    expect(Math.min(...tries)).toBeLessThan(200);
  });
});
