/** Reads a page of Markdown as what the checks look at: headings, links, blocks of code, prose. Pure. */

const fence = /^\s*(`{3,}|~{3,})\s*([\w+-]*)[^`]*$/;
const heading = /^(#{1,6})\s+(.*?)\s*#*\s*$/;
const link = /!?\[(?:[^[\]]|\[[^\]]*\])*\]\(\s*(?:<([^>]*)>|([^\s)]+))(?:\s+"[^"]*")?\s*\)/g;
const reference = /^\s*\[[^\]]+\]:\s+(\S+)/;

/**
 * @typedef {{ language: string, text: string, line: number }} Block `line` is that of the first line inside
 * @typedef {{ target: string, line: number }} Link
 * @typedef {{ path: string, anchors: Set<string>, links: Link[], blocks: Block[], prose: { text: string, line: number }[] }} Page
 */

/**
 * @param {string} path for the findings
 * @param {string} text
 * @returns {Page}
 */
export function readPage(path, text) {
  const page = { path, anchors: new Set(), links: [], blocks: [], prose: [] };
  let open;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (open) open = insideBlock(page, open, line);
    else open = outsideBlock(page, line, index + 1);
  }
  if (open) page.blocks.push(blockOf(open));
  return page;
}

function insideBlock(page, open, line) {
  const closing = line.trim();
  if (/^(`{3,}|~{3,})$/.test(closing) && closing.startsWith(open.mark)) {
    page.blocks.push(blockOf(open));
    return undefined;
  }
  open.lines.push(line);
  return open;
}

function blockOf({ language, lines, line }) {
  return { language, text: lines.join('\n'), line };
}

/** @returns a block that begins here, if one does */
function outsideBlock(page, line, number) {
  const start = fence.exec(line);
  if (start) return { mark: start[1], language: start[2], lines: [], line: number + 1 };
  const title = heading.exec(line);
  if (title) page.anchors.add(freeAnchor(page.anchors, anchorOf(title[2])));
  const bare = line.replaceAll(/(`+)(?:(?!`).|(?!\1)`)*?\1(?!`)/g, (code) => ' '.repeat(code.length));
  for (const found of bare.matchAll(link)) page.links.push({ target: found[1] ?? found[2], line: number });
  const defined = reference.exec(bare);
  if (defined) page.links.push({ target: defined[1], line: number });
  page.prose.push({ text: proseOf(bare), line: number });
  return undefined;
}

function proseOf(line) {
  return line
    .replaceAll(/\]\([^)]*\)/g, '] ')
    .replaceAll(/<[^>]+>/g, ' ')
    .replaceAll(/https?:\/\/\S+/g, ' ');
}

/** As GitHub names the anchor of a heading. */
export function anchorOf(title) {
  return title
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[`*]/g, '')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}

function freeAnchor(taken, anchor) {
  let name = anchor;
  for (let n = 1; taken.has(name); n++) name = `${anchor}-${n}`;
  return name;
}
