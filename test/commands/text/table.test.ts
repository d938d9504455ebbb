import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alignColumns, padColumns } from '../../../src/commands/text/table.ts';

test('makes each column as wide as its widest cell when characters take one or two cells', () => {
  const rows = [
    ['a', 'bb', 'end'],
    ['日本', '', 'x'],
  ];
  assert.deepEqual(alignColumns(rows), ['a     bb  end', '日本      x']);
  assert.deepEqual(padColumns(rows), [
    ['a   ', 'bb', 'end'],
    ['日本', '  ', 'x  '],
  ]);
});

test('measures a cell as it is when it looks like a colour', () => {
  assert.deepEqual(
    alignColumns([
      ['\u001b[31mx', 'y'],
      ['123456', 'y'],
    ]),
    ['\u001b[31mx  y', '123456  y'],
  );
});
