/** Spelling of prose, British as the pages are, with the words of this project in `words.txt`. */
import { readFileSync } from 'node:fs';
import dictionary from 'dictionary-en-gb';
import nspell from 'nspell';

const wordsFile = new URL('words.txt', import.meta.url);

/** The project's own words, one a line. */
export function ownWords() {
  return readFileSync(wordsFile, 'utf8').split('\n').filter(Boolean);
}

/**
 * @param {import('./markdown.mjs').Page[]} pages
 * @param {readonly string[]} own words that are right here
 * @returns {string[]} also names words that no page uses: the list is to stay one that somebody can read
 */
export function spellingFaults(pages, own = ownWords()) {
  const spell = nspell(dictionary);
  const known = new Set(own);
  const used = new Set();
  const right = new Map();
  const isRight = (word) => {
    if (!right.has(word)) right.set(word, isKnown(word, known, used) || spell.correct(word));
    return right.get(word);
  };
  const faults = pages.flatMap((page) =>
    page.prose.flatMap(({ text, line }) =>
      wordsOf(text)
        .filter((word) => !isRight(word))
        .map(
          (word) => `${page.path}:${line}: is "${word}" a word? If it is, put it into scripts/docs/words.txt`,
        ),
    ),
  );
  const idle = own.filter((word) => !used.has(word));
  return [...faults, ...idle.map((word) => `scripts/docs/words.txt: no page needs "${word}"`)];
}

function isKnown(word, known, used) {
  const found = [word, word.toLowerCase()].find((one) => known.has(one));
  if (found) used.add(found);
  return found !== undefined;
}

/** Words of a line. Names with capitals, digits or dots inside are no words. */
export function wordsOf(text) {
  return (text.match(/[\p{L}\p{N}_][\p{L}\p{N}_.'’/@:-]*/gu) ?? [])
    .flatMap((chunk) => (/[\p{L}\p{N}][.:@/_][\p{L}\p{N}]/u.test(chunk) ? [] : chunk.split(/[-/]/)))
    .map((word) => word.replaceAll('’', "'").replaceAll(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, ''))
    .map((word) => word.replace(/'s$/, ''))
    .filter((word) => /^\p{L}[\p{Ll}']+$/u.test(word));
}
