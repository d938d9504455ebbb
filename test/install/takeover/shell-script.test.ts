import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotUnderstood } from '../../../src/install/takeover/not-understood.ts';
import { shellCommands } from '../../../src/install/takeover/shell-script.ts';

function commands(text: string, readText: (path: string) => string | null = () => null) {
  return shellCommands(text, { environment: { HOME: '/h$&h' }, directory: '/', readText });
}

test('takes the lines of a command to the end of what goes on, so that none of it is left when they become comments', () => {
  const rows = [
    ['ssh -N relay \\\n  > log \\\n  2>&1 \\\n  &\nexit 0', 0, 3],
    ['ssh -N relay \\\n  | logger\nexit 0', 0, 1],
    ['date\nssh -N relay\n\nexit 0', 1, 1],
  ] as const;
  for (const [text, ...lines] of rows)
    assert.deepEqual(commands(text).find(({ words }) => words[0] === 'ssh')?.lines, lines, text);
});

test('ends what a subshell sets with it, and not what a group sets', () => {
  const at = (text: string) => commands(text).map(({ directory, environment }) => [directory, environment['A']]);
  assert.deepEqual(at('A=1; (cd /a; A=2; A=$A$A; ssh relay) >log; ssh relay'), [
    ['/a', '22'],
    ['/', '1'],
  ]);
  assert.deepEqual(at('{ cd /a; A=2; ssh relay; }; ssh relay'), [
    ['/a', '2'],
    ['/a', '2'],
  ]);
});

test('reads scripts with the line ends of Windows', () => {
  const all = commands('#!/bin/sh\r\nwhile true\r\ndo\r\n  ssh -N relay\r\ndone\r\n');
  assert.deepEqual(
    all.map(({ words, lines }) => [words, lines]),
    [
      [['true'], [1, 1]],
      [
        ['ssh', '-N', 'relay'],
        [3, 3],
      ],
    ],
  );
});

test('does not take an element of an array for the variable, nor a dollar of a home for more than a dollar', () => {
  assert.equal(commands('A[1]=relay; ssh $A')[0]?.unknown, 'the variable A');
  assert.deepEqual(commands('ssh -i ~/key relay')[0]?.words, ['ssh', '-i', '/h$&h/key', 'relay']);
});

test('takes the default of a variable as the shell does, with its quotes and with what cannot be known of it', () => {
  const rows = [
    ['ssh ${A:-"b c"} ${A:-d e}f', ['ssh', 'b c', 'd', 'ef'], null],
    ['ssh "${A:-b c}"', ['ssh', 'b c'], null],
    ['A=; ssh ${A-b} c', ['ssh', 'c'], null],
    ['ssh ${A:-$(hostname)}', ['ssh', ''], 'the output of another command'],
    ['ssh ${A:-$B} c', ['ssh', '', 'c'], 'the variable B'],
  ] as const;
  for (const [text, words, unknown] of rows) {
    const [command] = commands(text);
    assert.deepEqual([command?.words, command?.unknown], [words, unknown], text);
  }
});

test('does not understand what stands within itself without end', () => {
  assert.throws(() => commands(`${'f() '.repeat(30_000)} ssh relay`), NotUnderstood);
  assert.throws(() => commands('. /again', () => '. /again'), NotUnderstood);
});
