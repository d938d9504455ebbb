import { structuredPatch } from 'diff';

/** The difference of two texts as `diff -u` prints it, without the header; empty where they are equal. */
export function unifiedDiff(before: string, after: string): string {
  // Both texts end with a line end: else the patch would have a line about a missing one.
  const patch = structuredPatch('', '', `${before}\n`, `${after}\n`, '', '', { context: 3, maxEditLength: MAX_EDITS });
  const hunks = patch?.hunks ?? [{ oldStart: 1, newStart: 1, lines: [...marked('-', before), ...marked('+', after)] }];
  return hunks.flatMap(({ oldStart, newStart, lines }) => [`@@ -${oldStart} +${newStart} @@`, ...lines]).join('\n');
}

/** Its time grows with the square of it: of texts that have less in common, all lines are shown. */
const MAX_EDITS = 2000;

function marked(mark: string, text: string): readonly string[] {
  return text.split('\n').map((line) => `${mark}${line}`);
}
