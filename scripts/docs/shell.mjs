/** Commands of the pages: the shell takes them, and the command line's own reader takes those that are ours. */
import { spawnSync } from 'node:child_process';

/** What is typed in a transcript: lines after `$ `, with those that a backslash or an open quote joins to them. */
export function typedIn(transcript) {
  const typed = [];
  let current;
  for (const line of transcript.split('\n')) {
    if (line.startsWith('$ ')) current = line.slice(2);
    else if (current === undefined) continue;
    else current += `\n${line}`;
    if (isOpen(current)) continue;
    typed.push(current);
    current = undefined;
  }
  if (current !== undefined) typed.push(current);
  return typed.join('\n');
}

function isOpen(text) {
  const { quote } = [...text].reduce(step, { quote: '', escaped: false });
  return quote !== '' || /\\$/.test(text);
}

function step({ quote, escaped }, char) {
  if (escaped) return { quote, escaped: false };
  if (char === '\\' && quote !== "'") return { quote, escaped: true };
  if (quote === '') return { quote: char === "'" || char === '"' ? char : '', escaped: false };
  return { quote: char === quote ? '' : quote, escaped: false };
}

/** @returns {string[]} what bash says against it */
export function bashFaults(script) {
  const { status, stderr, error } = spawnSync('bash', ['-n'], { input: script, encoding: 'utf8' });
  if (error) throw error;
  return status === 0
    ? []
    : [
        stderr
          .trim()
          .split('\n')[0]
          .replace(/^bash: line \d+: /, ''),
      ];
}

/**
 * The simple commands of a script as words, without what they read from or write to. Substitutions are words.
 * @returns {string[][]}
 */
export function commandsIn(script) {
  const commands = [];
  for (const part of splitCommands(withoutDocuments(script).replaceAll(/\\\n/g, ' '))) {
    const words = wordsIn(part);
    while (/^[A-Z_]\w*=/.test(words[0] ?? '')) words.shift();
    if (words.length) commands.push(words);
  }
  return commands;
}

/** Without here-documents, whose lines are no commands. */
function withoutDocuments(script) {
  return script.replaceAll(/<<-?\s*(['"]?)(\w+)\1([^\n]*)\n[\s\S]*?\n\s*\2(?=\n|$)/g, '$3');
}

const token =
  /\s+|#[^\n]*|\d?>>?&?\s*[^\s;|&]+|<\s*[^\s;|&]+|(?<end>&&|\|\||[;|&\n()])|(?<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|\$\([^)]*\)|\\.|[^\s;|&<>()'"\\])+)/y;

function* tokens(script) {
  token.lastIndex = 0;
  while (token.lastIndex < script.length) {
    const found = token.exec(script);
    if (!found) return;
    yield found;
  }
}

function splitCommands(script) {
  const parts = [[]];
  for (const { 0: text, groups } of tokens(script)) {
    if (groups.end !== undefined || (text.trim() === '' && text.includes('\n'))) parts.push([]);
    else if (groups.word !== undefined) parts.at(-1).push(groups.word);
  }
  return parts;
}

function wordsIn(part) {
  return part.map((word) => word.replaceAll(/'([^']*)'|"((?:\\.|[^"\\])*)"/g, (_, one, two) => one ?? two));
}
