/** UTF-8 that arrives in pieces. */

// Bytes that can never become a character turn into U+FFFD.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** How many bytes at the end begin a character that later bytes may complete: 0 to 3. */
export function unfinishedBytes(bytes: Uint8Array): number {
  const most = Math.min(3, bytes.length);
  for (let n = 1; n <= most; n++) {
    const byte = bytes[bytes.length - n] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return charLength(byte) > n && secondFits(byte, n, bytes) ? n : 0;
  }
  return 0;
}

/** The characters of these bytes, one that is cut off included, as U+FFFD. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The characters of these bytes, undefined when the last one is unfinished. */
export function wholeText(bytes: Uint8Array): string | undefined {
  return unfinishedBytes(bytes) === 0 ? decoder.decode(bytes) : undefined;
}

/** By its first byte; 0 for bytes that begin none. */
function charLength(first: number): number {
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

/** Whether the second byte, where there is one, can follow the first (RFC 3629, section 4). */
function secondFits(first: number, n: number, bytes: Uint8Array): boolean {
  if (n < 2) return true;
  const second = bytes[bytes.length - n + 1] ?? 0;
  if (first === 0xe0) return second >= 0xa0;
  if (first === 0xed) return second < 0xa0;
  if (first === 0xf0) return second >= 0x90;
  return first !== 0xf4 || second < 0x90;
}
