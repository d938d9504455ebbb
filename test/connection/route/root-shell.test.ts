import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rootShell } from '../../../src/connection/route/root-shell.ts';

const ROOT = 'tunneld:root-reads\n';

/** A shell whose prompts are answered by `answers`, and what was shown and written. */
function shellOf(...answers: readonly string[]) {
  const shown: string[] = [];
  const written: string[] = [];
  const left = [...answers];
  const person = {
    answer: (prompt: string) => {
      shown.push(prompt);
      return Promise.resolve(left.shift() ?? '');
    },
  };
  const input = { write: (text: string) => written.push(text), end: (text: string) => written.push(`${text} (end)`) };
  const { conversation, hasBegun } = rootShell('asks', 'SCRIPT', 'me@server:22', person);
  const hear = async (text: string) => {
    conversation(text, input);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { shown, written, hasBegun, hear };
}

test('asks what sudo asks, and writes the script when root reads it', async () => {
  const { shown, written, hasBegun, hear } = shellOf('not their password', 'their password of sudo');
  await hear('We trust you have received the usual lecture.\n[sudo] pass');
  await hear('word for me: ');
  await hear('Sorry, try again.\n[sudo] password for me: ');
  assert.equal(hasBegun(), false);
  await hear(ROOT.slice(0, 9));
  await hear(ROOT.slice(9));
  assert.equal(hasBegun(), true);
  assert.deepEqual(written, ['not their password\n', 'their password of sudo\n', 'SCRIPT (end)']);
  assert.equal(shown[1], '(me@server:22) Sorry, try again.\n(me@server:22) [sudo] password for me:');
});

test('names the server in every line that the server says', async () => {
  const { shown, hear } = shellOf('x');
  await hear('tunneld: the key is encrypted\r\n\u001b[2KEnter passphrase for key /home/me/.ssh/id: ');
  assert.deepEqual(shown[0]?.split('\n'), [
    '(me@server:22) tunneld: the key is encrypted',
    String.raw`(me@server:22) \x1b[2KEnter passphrase for key /home/me/.ssh/id:`,
  ]);
});

test('writes no password when root reads before it is typed', async () => {
  let type: (secret: string) => void = () => {};
  const written: string[] = [];
  const input = { write: (text: string) => written.push(text), end: (text: string) => written.push(`${text} (end)`) };
  const person = { answer: () => new Promise<string>((resolve) => (type = resolve)) };
  const { conversation, hasBegun } = rootShell('asks', 'SCRIPT', 'me@server:22', person);
  conversation('Password: ', input);
  conversation(ROOT, input);
  type('hunter2');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([written, hasBegun()], [['SCRIPT (end)'], true]);
});

test('keeps no more than it needs when a server says much', async () => {
  const { written, hear } = shellOf();
  const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const line = 'x'.repeat(50);
  for (let i = 0; i < 3000; i++) await hear(`${line}\n`.repeat(500));
  const grown = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before;
  assert.ok(grown < 50 * 2 ** 20, `${grown}`);
  await hear(ROOT);
  assert.deepEqual(written, ['SCRIPT (end)']);
});
