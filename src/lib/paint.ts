/** Colours a text with an ANSI code, or leaves it as it is. */
export type Paint = (text: string, ansi: number) => string;

export function painter(colour: boolean): Paint {
  return (text, ansi) => (colour && text !== '' ? `\u001b[${ansi}m${text}\u001b[39m` : text);
}
