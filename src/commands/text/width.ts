/** How many cells of a terminal a text takes. In doubt too many: a line is cut early rather than wrapped. */
export function displayWidth(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  return [...text].reduce((sum, char) => sum + charWidth(char), 0);
}

/** The text, or its beginning and `…` where it takes more cells than that. */
export function cutToWidth(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let shown = '';
  let left = width - 1;
  for (const char of text) {
    left -= charWidth(char);
    if (left < 0) break;
    shown += char;
  }
  return width < 1 ? '' : `${shown}…`;
}

/** A line as lines of at most that width, broken at blanks where possible; those that follow are indented two cells more. */
export function wrapLine(line: string, width: number): readonly string[] {
  if (displayWidth(line) <= width) return [line];
  const [blanks = ''] = /^ */.exec(line)!;
  const indent = blanks.length + 12 > width ? '' : `${blanks}  `;
  const lines: string[] = [];
  let rest = line;
  while (displayWidth(rest) > width) {
    const [head, tail] = breakLine(rest, width, indent.length);
    lines.push(head);
    rest = `${indent}${tail}`;
  }
  return [...lines, rest];
}

/** The most of a line that fits, at least one character of it, and what is left. */
function breakLine(line: string, width: number, indent: number): readonly [string, string] {
  let fitting = 0;
  let left = width;
  for (const char of line) {
    left -= charWidth(char);
    if (left < 0 && fitting > indent) break;
    fitting += char.length;
  }
  const blank = line.lastIndexOf(' ', fitting);
  const end = blank > Math.max(indent, width / 3) ? blank : fitting;
  return [line.slice(0, end), line.slice(end).trimStart()];
}

function charWidth(char: string): 0 | 1 | 2 {
  if (WIDE.test(char)) return 2;
  return WITHOUT_WIDTH.test(char) ? 0 : 1;
}

// Wide and fullwidth by Unicode Standard Annex 11, in blocks, and emoji.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1f000}-\u{1faff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

/** Not the selector that makes an emoji of the character before it, and it wide. */
const WITHOUT_WIDTH = /^(?!\ufe0f)[\p{Mn}\p{Me}\p{Cf}]$/u;
