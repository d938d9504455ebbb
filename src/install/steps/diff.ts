/** The difference of two texts as `diff -u` prints it, without the header; empty where they are equal. */
export function unifiedDiff(before: string, after: string): string {
  if (before === after) return '';
  const lines = compare(before.split('\n'), after.split('\n'));
  const shown = lines.map((_, at) =>
    lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ mark }) => mark !== ' '),
  );
  const out: string[] = [];
  for (const [at, { mark, text, old, now }] of lines.entries()) {
    if (!shown[at]) continue;
    if (at === 0 || !shown[at - 1]) out.push(`@@ -${old} +${now} @@`);
    out.push(`${mark}${text}`);
  }
  return out.join('\n');
}

const CONTEXT = 3;

interface Line {
  readonly mark: ' ' | '-' | '+';
  readonly text: string;
  /** Its line number in either text, from 1. */
  readonly old: number;
  readonly now: number;
}

/** By the longest common subsequence of the lines. */
function compare(before: readonly string[], after: readonly string[]): readonly Line[] {
  const lengths = table(before, after);
  const lines: Line[] = [];
  let [b, a] = [0, 0];
  while (b < before.length || a < after.length) {
    const place = { old: b + 1, now: a + 1 };
    if (b < before.length && a < after.length && before[b] === after[a]) {
      lines.push({ mark: ' ', text: before[b]!, ...place });
      b += 1;
      a += 1;
    } else if (b < before.length && (a === after.length || lengths[b + 1]![a]! >= lengths[b]![a + 1]!)) {
      lines.push({ mark: '-', text: before[b]!, ...place });
      b += 1;
    } else {
      lines.push({ mark: '+', text: after[a]!, ...place });
      a += 1;
    }
  }
  return lines;
}

/** For each pair of positions, the length of the longest common subsequence of the rests; zeros for texts that are too long. */
function table(before: readonly string[], after: readonly string[]): readonly (readonly number[])[] {
  const rows = Array.from({ length: before.length + 1 }, () => Array.from({ length: after.length + 1 }, () => 0));
  if (before.length * after.length > MAX_CELLS) return rows;
  for (let b = before.length - 1; b >= 0; b -= 1) {
    for (let a = after.length - 1; a >= 0; a -= 1)
      rows[b]![a] = before[b] === after[a] ? rows[b + 1]![a + 1]! + 1 : Math.max(rows[b + 1]![a]!, rows[b]![a + 1]!);
  }
  return rows;
}

const MAX_CELLS = 4_000_000;
