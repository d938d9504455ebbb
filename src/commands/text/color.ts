/** Colour only on a terminal, and never under NO_COLOR (https://no-color.org). */
export function wantsColour(to: Pick<NodeJS.WriteStream, 'isTTY'> = process.stdout): boolean {
  return to.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
}
