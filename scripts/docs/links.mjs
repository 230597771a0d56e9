/** Links of pages: the file is there, and the heading in it. Addresses of other hosts are not asked. */
import { existsSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';

/**
 * @param {import('./markdown.mjs').Page[]} pages all pages, paths below `root`
 * @param {string} root
 * @returns {string[]}
 */
export function linkFaults(pages, root) {
  const byPath = new Map(pages.map((page) => [resolve(root, page.path), page]));
  const there = (file) => byPath.has(file) || existsSync(file);
  return pages.flatMap((page) =>
    page.links.flatMap(({ target, line }) => {
      const why = faultOf(resolve(root, page.path), target, byPath, there, root);
      return why ? [`${page.path}:${line}: the link ${target} ${why}`] : [];
    }),
  );
}

function faultOf(from, target, byPath, there, root) {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined;
  const [name, anchor] = target.split('#');
  const file = name === '' ? from : resolve(dirname(from), decodeURI(name));
  if (relative(root, file).startsWith('..')) return 'leads out of the repository';
  if (!there(file)) return 'leads to nothing';
  if (anchor === undefined) return undefined;
  const page = byPath.get(file);
  if (!page) return 'has an anchor in what is no page';
  return page.anchors.has(anchor) ? undefined : 'leads to no heading of that page';
}
