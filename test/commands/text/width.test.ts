import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutToWidth, displayWidth, wrapLine } from '../../../src/commands/text/width.ts';

test('counts the cells that a terminal uses when characters are wide, narrow or without width', () => {
  const cases: readonly [string, number][] = [
    ['', 0],
    ['backup', 6],
    ['Größe', 5],
    ['e\u0301', 1], // a letter and a combining accent
    ['日本語', 6],
    ['한국', 4],
    ['ＡＢ', 4],
    ['🙂', 2],
    ['→…', 2],
    ['❤\ufe0f', 2], // made an emoji by a selector
    ['กำ', 2],
    ['𠀀', 2],
  ];
  for (const [text, width] of cases) assert.equal(displayWidth(text), width, text);
});

test('cuts between characters when a text is too wide', () => {
  assert.equal(cutToWidth('backup', 6), 'backup');
  assert.equal(cutToWidth('backup', 5), 'back…');
  assert.equal(cutToWidth('日本語', 5), '日本…');
  assert.equal(cutToWidth('日本語', 4), '日…');
  assert.equal(cutToWidth('e\u0301e\u0301e\u0301', 2), 'e\u0301…');
  assert.equal(cutToWidth('🙂🙂', 2), '…');
  assert.equal(cutToWidth('backup', 0), '');
});

test('wraps at blanks, or between characters when there are none, and loses no character', () => {
  assert.deepEqual(wrapLine('  the network path is gone', 16), ['  the network', '    path is gone']);
  assert.deepEqual(wrapLine('short', 16), ['short']);
  const long = `  ${'x'.repeat(50)} 日本語日本語日本語日本語 ${'y'.repeat(30)}`;
  for (const width of [1, 2, 3, 5, 14, 15, 16, 40, 79]) {
    const lines = wrapLine(long, width);
    assert.equal(lines.join('').replaceAll(' ', ''), long.replaceAll(' ', ''), `${width}`);
    if (width > 1) for (const line of lines) assert.ok(displayWidth(line) <= width, `${width}: ${line}`);
  }
});
