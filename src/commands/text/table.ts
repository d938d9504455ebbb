import { displayWidth } from './width.ts';

/** Rows of plain cells as lines, each column as wide as its widest cell; without blanks at the ends of lines. */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  return padColumns(rows).map((row) => row.join(COLUMN_GAP).trimEnd());
}

/** The cells themselves, each as wide as its column: what is painted is padded before. */
export function padColumns(rows: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, displayWidth(cell));
  return rows.map((row) => row.map((cell, index) => cell + ' '.repeat(widths[index]! - displayWidth(cell))));
}

/** Between two columns. */
export const COLUMN_GAP = '  ';
