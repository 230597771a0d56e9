// Generated blocks inside hand-written Markdown: `<!-- generated: NAME -->` to `<!-- /generated -->`. Pure.

/**
 * Replaces what is between the markers of each block that is given; everything else stays.
 * @param {string} document
 * @param {Record<string, string>} blocks by name
 * @throws Error when the document lacks the markers of a block
 */
export function replaceBlocks(document, blocks) {
  return Object.entries(blocks).reduce((text, [name, content]) => {
    const open = `<!-- generated: ${name} -->`;
    const close = '<!-- /generated -->';
    const start = text.indexOf(open);
    const end = text.indexOf(close, start);
    if (start < 0 || end < 0) throw new Error(`the document has no block "${open}" … "${close}"`);
    return `${text.slice(0, start + open.length)}\n${content.trim()}\n${text.slice(end)}`;
  }, document);
}
