/**
 * The public JSON Schema test suite: nothing invalid is derived; whatever is refused is refused by name; what is
 * valid and yet not derived is listed here, case by case or by its kind.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type FileReport, keywordOf, runSuite } from './conformance.js';

const reports = runSuite();

/** Schemas of the suite that are refused for a keyword. */
const refusedKeywords: Readonly<Record<string, number>> = {
  $dynamicRef: 3,
  $id: 1,
  // To other documents, or into parts with an `$id` of their own.
  $ref: 48,
  contains: 20,
  dependencies: 7,
  dependentRequired: 4,
  dependentSchemas: 7,
  // Beyond what doubles tell apart.
  exclusiveMaximum: 1,
  exclusiveMinimum: 1,
  // Formats that are not served.
  format: 9,
  'if, then, else': 21,
  maxContains: 1,
  minContains: 1,
  // Of 0.123456789.
  multipleOf: 1,
  not: 12,
  // Branches that overlap.
  oneOf: 8,
  unevaluatedItems: 22,
  unevaluatedProperties: 37,
  uniqueItems: 3,
  'unknown-keyword': 2,
  'unknown~1keyword': 2,
};

/** Valid cases that are not derived, by file. */
const missed: Readonly<Record<string, number>> = {
  // The members of a constant in another order.
  'const.json': 1,
  // Formats are held to, not noted.
  'format.json': 10,
  // More than 20 digits.
  'optional/bignum.json': 2,
  // An integer with an exponent.
  'optional/float-overflow.json': 1,
  // Leap seconds; `t` and `z`.
  'optional/format/date-time.json': 3,
  'optional/format/time.json': 7,
  // A count of 80 digits.
  'optional/format/duration.json': 1,
  // Quoted names and addresses in brackets.
  'optional/format/email.json': 5,
  // Internationalised labels.
  'optional/format/hostname.json': 15,
  // A metaschema that turns validation off.
  'vocabulary.json': 1,
};

describe('the JSON Schema test suite', () => {
  it('runs whole', () => {
    expect(reports.length).toBeGreaterThan(60);
    expect(sum((report) => report.cases)).toBeGreaterThan(1900);
  });

  it('derives nothing that is invalid', () => {
    expect(reports.flatMap((report) => report.wrong)).toEqual([]);
  });

  it('refuses a schema by the name of a keyword that is not served', () => {
    const counts: Record<string, number> = {};
    for (const by of refusals().filter((each) => each.startsWith('schema'))) {
      const name = /^(if|then|else)$/.test(keywordOf(by)) ? 'if, then, else' : keywordOf(by);
      counts[name] = (counts[name] ?? 0) + 1;
    }
    expect(counts).toEqual(refusedKeywords);
  });

  it('refuses a schema that nothing satisfies, and no other without the name of a keyword', () => {
    const others = reports.flatMap(({ refused }) => refused.filter(({ by }) => !by.startsWith('schema')));
    expect(others.map(({ description }) => description).sort()).toEqual([
      '$ref to boolean schema false',
      'allOf with boolean schemas, all false',
      'allOf with boolean schemas, some false',
      'anyOf with boolean schemas, all false',
      "boolean schema 'false'",
      'empty enum',
      'oneOf with boolean schemas, all false',
    ]);
  });

  it('derives what is valid, but for spellings that are left out', () => {
    const counts = reports
      .filter((report) => report.missed.length > 0)
      .map((report) => [report.file, report.missed.length]);
    expect(Object.fromEntries(counts)).toEqual(missed);
  });

  it('comes out as the table in docs/structured-output.md says', () => {
    const page = readFileSync(new URL('../../../../docs/structured-output.md', import.meta.url), 'utf8');
    for (const line of table()) expect(page).toContain(line);
  });
});

function refusals(): string[] {
  return reports.flatMap(({ refused }) => refused.map(({ by }) => by));
}

function sum(of: (report: FileReport) => number, among: readonly FileReport[] = reports): number {
  return among.reduce((total, report) => total + of(report), 0);
}

function table(): string[] {
  const line = (name: string, among: readonly FileReport[]) =>
    `| ${[
      name,
      sum((report) => report.schemas, among),
      sum((report) => report.refused.length, among),
      sum((report) => report.accepted, among),
      sum((report) => report.rejected, among),
      sum((report) => report.missed.length, among),
      sum((report) => report.wrong.length, among),
    ].join(' | ')} |`;
  const isIn = (folder: string) =>
    reports.filter(({ file }) => file.slice(0, file.lastIndexOf('/') + 1) === folder);
  return [
    line('the draft itself', isIn('')),
    line('optional: formats', isIn('optional/format/')),
    line('optional: others', isIn('optional/')),
    line('all', reports),
  ];
}
