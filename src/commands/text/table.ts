/** Rows of cells as lines, each column as wide as its widest cell; without blanks at the ends of lines. */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, widthOf(cell));
  return rows.map((row) =>
    row
      .map((cell, index) => cell + ' '.repeat(widths[index]! - widthOf(cell)))
      .join('  ')
      .trimEnd(),
  );
}

/** On a terminal: without the escapes of colours. Names of tunnels are ASCII, and all else is escaped. */
function widthOf(cell: string): number {
  return cell.replaceAll(COLOUR, '').length;
}

const COLOUR = /\u001b\[\d+m/g;
