/**
 * Diagrams are parsed by mermaid itself, in a realm of its own. It cleans labels with DOMPurify, which without
 * a document is a bare function; there every function has the two methods that parsing asks of it.
 */
import { readFileSync } from 'node:fs';
import { createContext, runInContext } from 'node:vm';

const bundle = new URL('../../node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js', import.meta.url);
const purifier = `Object.defineProperties(Function.prototype, {
  addHook: { value() {} }, sanitize: { value: (text) => text } });`;

let loaded;

function mermaid() {
  if (!loaded) {
    const realm = createContext({ console, setTimeout, clearTimeout, structuredClone, URL });
    runInContext(purifier, realm);
    runInContext(readFileSync(bundle, 'utf8'), realm);
    loaded = runInContext('globalThis.mermaid', realm);
  }
  return loaded;
}

/** @returns {Promise<string[]>} why the diagram is none */
export async function mermaidFaults(text) {
  try {
    await mermaid().parse(text);
    return [];
  } catch (error) {
    return [String(error.message).split('\n').slice(0, 3).join(' ')];
  }
}
