/**
 * What a text has besides its lines: how they end, and whether the last one does. Two sides that differ only there do
 * not differ line by line. Pure.
 */

interface TextStyle {
  /** Undefined: some of each. */
  readonly lineEnd: '\n' | '\r\n' | undefined;
  readonly endsLine: boolean;
}

export interface Styled {
  /** With `\n` only, if its line ends are of one kind, and with a last one. */
  readonly text: string;
  readonly style: TextStyle;
}

export interface ThreeTexts {
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/** The three texts alike in style, and how to give a text that was made of them the style that it should have. */
export function inOneStyle(texts: ThreeTexts): {
  texts: ThreeTexts;
  /** The three were not alike. */
  isRestyled: boolean;
  restore(text: string): string;
} {
  const styles = { base: styleOf(texts.base), ours: styleOf(texts.ours), theirs: styleOf(texts.theirs) };
  const isMixed = Object.values(styles).some(({ lineEnd }) => lineEnd === undefined);
  const plain = (text: string) => closed(isMixed ? text : text.replaceAll('\r\n', '\n'));
  const lineEnd = isMixed ? '\n' : threeWay(styles.base.lineEnd, styles.ours.lineEnd, styles.theirs.lineEnd);
  const endsLine = threeWay(styles.base.endsLine, styles.ours.endsLine, styles.theirs.endsLine);
  const { base, ours, theirs } = styles;
  return {
    isRestyled: !isSameStyle(base, ours) || !isSameStyle(base, theirs),
    texts: { base: plain(texts.base), ours: plain(texts.ours), theirs: plain(texts.theirs) },
    restore(text) {
      const open = endsLine || !text.endsWith('\n') ? text : text.slice(0, text.endsWith('\r\n') ? -2 : -1);
      return lineEnd === '\r\n' ? open.replaceAll('\n', '\r\n') : open;
    },
  };
}

/** Theirs where ours is as it was. */
export function threeWay<T>(base: T, ours: T, theirs: T): T {
  return ours === base ? theirs : ours;
}

function styleOf(text: string): TextStyle {
  const all = text.split('\n').length - 1;
  const crlf = text.split('\r\n').length - 1;
  const mixed = crlf === 0 ? '\n' : undefined;
  return { lineEnd: crlf > 0 && crlf === all ? '\r\n' : mixed, endsLine: text === '' || text.endsWith('\n') };
}

function isSameStyle(one: TextStyle, other: TextStyle): boolean {
  return one.lineEnd === other.lineEnd && one.endsLine === other.endsLine;
}

function closed(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}
