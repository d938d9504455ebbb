/** Colour only on a terminal, and never under NO_COLOR (https://no-color.org). */
export function wantsColour(to: NodeJS.WriteStream = process.stdout): boolean {
  return to.isTTY && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb';
}
