/** The text of a generated document: one line that names its source's hash, then what was made of it. Pure. */
import { isUtf8 } from 'node:buffer';
import { StompError } from '../errors.js';

// An editor may have put a byte order mark before it or a carriage return behind it.
const header = /^\uFEFF?<!-- SHA256: ([0-9a-f]{64}) -->(?:\r?\n|$)/;
const headerBytes = 128;

/** The hash of the source that the document was made of; undefined when it does not begin with the header. */
export function hashIn(document: Buffer): string | undefined {
  return header.exec(document.toString('utf8', 0, headerBytes))?.[1];
}

/** @param text what was made; a header that it brings along gives way to the true one. */
export function documentOf(hash: string, text: string): string {
  return `<!-- SHA256: ${hash} -->\n${text.replace(header, '')}`;
}

/** @throws StompError INVALID_REQUEST when it is not UTF-8 text */
export function sourceText(bytes: Buffer, file: string): string {
  if (isUtf8(bytes) && !bytes.includes(0)) return bytes.toString('utf8');
  throw new StompError(
    'INVALID_REQUEST',
    `${file} is a binary file; name a source that is text in UTF-8 to make docs of.`,
    { fields: { field: 'source', file } },
  );
}
