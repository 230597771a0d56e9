/** Plain tables for a terminal. Pure. */

export interface Column {
  readonly title: string;
  /** Numbers stand right. @default 'left' */
  readonly align?: 'left' | 'right';
}

/** Columns as wide as their widest cell, two spaces apart, a line under the titles. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => (row[index] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map((column, index) => pad(cells[index] ?? '', widths[index] ?? 0, column.align))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width));
  return [line(columns.map((column) => column.title)), line(rule), ...rows.map(line)].join('\n');
}

function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  return align === 'right' ? text.padStart(width) : text.padEnd(width);
}

/** Names and messages may be anything; a terminal is shown no control characters. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
