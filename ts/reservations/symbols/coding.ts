/** Symbols as short JSON, for the cache and between threads: names of fields would be most of it. */
import type { Content } from './extract.js';
import {
  type CallSite,
  type CodeSymbol,
  type ImportedName,
  type SymbolKind,
  symbolKinds,
} from './symbols.js';

type Calls = (string | number)[];
type Names = [local: string, imported: string, module: string][];
type Packed = [
  name: string,
  kind: number,
  start: number,
  end: number,
  startLine: number,
  endLine: number,
  bodyHash: string,
  signatureHash: string,
  shapeHash: string,
  calls: Calls,
  bases?: string[],
];

interface Stored {
  l?: string;
  s: Packed[];
  i: Names;
  c: Calls;
  x?: Names;
  p?: string;
  g?: string;
}

export function encode(content: Content): string {
  const { language, symbols, imports, calls, exports, problem, gap } = content;
  const stored: Stored = {
    s: symbols.map(pack),
    i: imports.map(packName),
    c: packCalls(calls),
    ...(language === undefined ? {} : { l: language }),
    ...(exports === undefined ? {} : { x: exports.map(packName) }),
    ...(problem === undefined ? {} : { p: problem }),
    ...(gap === undefined ? {} : { g: gap }),
  };
  return JSON.stringify(stored);
}

/** @throws Error when the text is none of `encode`. */
export function decode(text: string): Content {
  const { l, s, i, c, x, p, g } = JSON.parse(text) as Stored;
  return {
    language: l,
    symbols: s.map(unpack),
    imports: i.map(unpackName),
    calls: unpackCalls(c),
    ...(x === undefined ? {} : { exports: x.map(unpackName) }),
    ...(p === undefined ? {} : { problem: p }),
    ...(g === undefined ? {} : { gap: g }),
  };
}

function pack({ name, kind, range, calls, bases, ...hashes }: CodeSymbol): Packed {
  const { start, end, startLine, endLine } = range;
  const { bodyHash, signatureHash, shapeHash } = hashes;
  const place = [start, end, startLine, endLine] as const;
  // What has no signature of its own need not say so in full.
  const signature = signatureHash === bodyHash ? '' : signatureHash;
  const packed = packCalls(calls);
  const kindAt = symbolKinds.indexOf(kind);
  const derived: [string[]?] = bases ? [[...bases]] : [];
  return [name, kindAt, ...place, bodyHash, signature, shapeHash, packed, ...derived];
}

function unpack(packed: Packed): CodeSymbol {
  const [name, kind, start, end, startLine, endLine, bodyHash, signature, shapeHash, calls, bases] = packed;
  const symbol = {
    name,
    kind: symbolKinds[kind] as SymbolKind,
    range: { start, end, startLine, endLine },
    bodyHash,
    signatureHash: signature === '' ? bodyHash : signature,
    shapeHash,
    calls: unpackCalls(calls),
  };
  return bases ? { ...symbol, bases } : symbol;
}

function packCalls(calls: readonly CallSite[]): Calls {
  return calls.flatMap(({ name, receiver, line }) => [name, receiver, line]);
}

function unpackCalls(packed: Calls): CallSite[] {
  const calls: CallSite[] = [];
  for (let at = 0; at + 2 < packed.length; at += 3)
    calls.push({
      name: packed[at] as string,
      receiver: packed[at + 1] as string,
      line: packed[at + 2] as number,
    });
  return calls;
}

function packName({ local, imported, module }: ImportedName): Names[number] {
  return [local, imported, module];
}

function unpackName([local, imported, module]: Names[number]): ImportedName {
  return { local, imported, module };
}
