import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { forecast } from '../../../../ts/reservations/forecast/forecast.js';
import { buildCallGraph } from '../../../../ts/reservations/graph/build.js';
import type { CallGraph } from '../../../../ts/reservations/graph/call-graph.js';
import type { FileSymbols } from '../../../../ts/reservations/symbols/symbols.js';
import { conflictTypes, operations } from '../../../../ts/reservations/types.js';
import { readFiles } from '../read-files.js';
import { intend, reserve } from './announce.js';

const texts = {
  'a.py': 'class A:\n    def m(self): f()\n    def n(self): self.m()\ndef f(): g()\ndef g(): h()\n',
  'b.py': 'from a import *\ndef h(): f()\ndef k(): A().n()\n',
};
const addresses = [
  'a.py',
  'b.py',
  'a.py::A',
  'a.py::A.m',
  'a.py::A.n',
  'a.py::f',
  'a.py::g',
  'b.py::h',
  'b.py::k',
];

const agent = fc.constantFrom('x', 'y', 'z', 'x@dev');
const address = fc.constantFrom(...addresses);
const operation = fc.constantFrom(...operations);
const reservation = fc
  .tuple(agent, fc.uniqueArray(address, { minLength: 1, maxLength: 3 }), fc.option(operation))
  .map(([who, where, what]) => reserve(who, where, what));
const intent = fc
  .tuple(agent, address, operation, fc.constantFrom('', 'changes the signature'))
  .map(([who, where, what, detail]) => intend(who, where, what, detail));
const announced = fc.record({
  reservations: fc.array(reservation, { maxLength: 8 }),
  intents: fc.array(intent, { maxLength: 6 }),
});

let files: FileSymbols[];
let graph: CallGraph;

beforeAll(async () => {
  files = await readFiles(texts);
  graph = buildCallGraph(files);
});

const shuffled = announced.chain(({ reservations, intents }) =>
  fc.record({
    given: fc.constant({ reservations, intents }),
    other: fc.record({
      reservations: fc.shuffledSubarray(reservations, { minLength: reservations.length }),
      intents: fc.shuffledSubarray(intents, { minLength: intents.length }),
    }),
  }),
);

describe('every forecast', () => {
  it('is the same in whatever order things were announced', () => {
    fc.assert(
      fc.property(shuffled, ({ given, other }) => {
        expect(forecast({ ...other, files, graph })).toEqual(forecast({ ...given, files, graph }));
      }),
      { numRuns: 300 },
    );
  });

  it('names two different agents in each conflict, and nothing twice', () => {
    fc.assert(
      fc.property(announced, (given) => {
        const { conflicts, highRisk, mediumRisk, lowRisk } = forecast({ ...given, files, graph });
        for (const { agents } of conflicts) expect(new Set(agents).size).toBe(2);
        const ids = conflicts.map(({ conflictType, agents, addresses }) =>
          JSON.stringify([conflictType === 'operation_conflict', agents, addresses]),
        );
        expect(new Set(ids).size).toBe(ids.length);
        expect(highRisk + mediumRisk + lowRisk).toBe(conflicts.length);
      }),
    );
  });

  it('finds nothing for one agent alone', () => {
    fc.assert(
      fc.property(announced, ({ reservations, intents }) => {
        const own = { runId: 'x', branch: 'main' };
        const alone = {
          reservations: reservations.map((one) => ({ ...one, ...own })),
          intents: intents.map((one) => ({ ...one, ...own })),
        };
        expect(forecast({ ...alone, files, graph }).conflicts).toEqual([]);
      }),
    );
  });

  it('goes from the surest conflict to the least sure one', () => {
    fc.assert(
      fc.property(announced, (given) => {
        const { conflicts } = forecast({ ...given, files, graph });
        const places = conflicts.map(({ conflictType }) => conflictTypes.indexOf(conflictType));
        expect(places).toEqual(places.toSorted((a, b) => a - b));
      }),
    );
  });
});
