import { shown } from './terminal.ts';

/** A table as kubectl prints it: columns of text, three spaces between them. A line for each row. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const cells = rows.map((row) => row.map(shown));
  const widthOf = (column: number) => Math.max(...cells.map((row) => (row[column] ?? '').length));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widthOf(column)))
      .join('   ')
      .trimEnd(),
  );
}
