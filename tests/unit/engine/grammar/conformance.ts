/** Runs the public JSON Schema test suite against the grammars of its schemas. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Grammar } from '../../../../ts/engine/grammar/ir.js';
import { jsonSchemaGrammar } from '../../../../ts/engine/grammar/json-schema.js';
import { StompError } from '../../../../ts/errors.js';
import { accepts } from './acceptor.js';
import { inSchemaOrder } from './member-order.js';

const suite = fileURLToPath(
  new URL('../../../fixtures/json-schema-test-suite/draft2020-12/', import.meta.url),
);

interface Group {
  description: string;
  schema: unknown;
  tests: { description: string; data: unknown; valid: boolean }[];
}

/** What became of the cases of one file. */
export interface FileReport {
  file: string;
  schemas: number;
  cases: number;
  /** Schemas that were refused: the pointer that the error names, or its message. */
  refused: { description: string; by: string }[];
  accepted: number;
  rejected: number;
  /** Valid, yet not derived. */
  missed: string[];
  /** Invalid, yet derived. */
  wrong: string[];
}

export function runSuite(): FileReport[] {
  const files = readdirSync(suite, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.json'),
  );
  return files
    .sort()
    .map((file) => runFile(file, JSON.parse(readFileSync(`${suite}${file}`, 'utf8')) as Group[]));
}

function runFile(file: string, groups: Group[]): FileReport {
  const report: FileReport = {
    file,
    schemas: groups.length,
    cases: groups.reduce((sum, { tests }) => sum + tests.length, 0),
    refused: [],
    accepted: 0,
    rejected: 0,
    missed: [],
    wrong: [],
  };
  for (const group of groups) runGroup(group, report);
  return report;
}

function runGroup({ description, schema, tests }: Group, report: FileReport): void {
  const grammar = compiled(schema);
  if (typeof grammar === 'string') {
    report.refused.push({ description, by: grammar });
    return;
  }
  for (const test of tests) {
    const derived = accepts(grammar, JSON.stringify(inSchemaOrder(test.data, schema)));
    count(report, `${description}: ${test.description}`, derived, test.valid);
  }
}

function count(report: FileReport, name: string, derived: boolean, valid: boolean): void {
  if (derived === valid) report[valid ? 'accepted' : 'rejected'] += 1;
  else report[valid ? 'missed' : 'wrong'].push(name);
}

/** The keyword at the end of a pointer. */
export function keywordOf(pointer: string): string {
  return pointer.slice(pointer.lastIndexOf('/') + 1);
}

/** The grammar, or what the schema was refused for. */
function compiled(schema: unknown): Grammar | string {
  try {
    return jsonSchemaGrammar(schema);
  } catch (error) {
    if (!(error instanceof StompError)) throw error;
    return error.code === 'UNSUPPORTED_FIELD' ? String(error.fields['field']) : error.message;
  }
}
