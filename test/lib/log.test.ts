import assert from 'node:assert/strict';
import { existsSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileOutput } from '../../src/lib/log/file.ts';
import { errorPrefix, stderrOutput } from '../../src/lib/log/output.ts';
import { formatLogLine, tunnelOfLine } from '../../src/lib/log/format.ts';
import { createLogMemory } from '../../src/lib/log/memory.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { tunnelOfSocket } from '../../src/config/command-line/paths.ts';
import { formatProblem } from '../../src/config/input/problem.ts';
import { escapeControls, escapeLines, printable } from '../../src/lib/text.ts';
import { tempDir } from '../support/until.ts';

const HOSTILE = 'a\u001b[31m\r\nb\u0007\u009b2J\u202eevil\u2028\u0000';

test('writes one line of JSON with nothing that moves a cursor, whatever a message holds', () => {
  const lines: string[] = [];
  const log = createLogger('info', (line) => lines.push(line));
  log.child({ tunnel: 'x' }).warn({ originator: HOSTILE }, HOSTILE);
  assert.equal(lines.length, 1);
  const [line] = lines as [string];
  assert.match(line, /^[\u0020-\u007e]+\n$/);
  assert.equal((JSON.parse(line) as { msg: string }).msg, HOSTILE, 'and it still says the same');
  assert.equal(tunnelOfLine(line), 'x');
  const readable = formatLogLine(line, false);
  assert.match(readable, /^[\u0020-\u007e]+$/);
  assert.match(readable, /WARN {2}\[x\] a\\x1b\[31m/);
  assert.match(formatLogLine(line, true), /\u001b\[33mWARN/);
  assert.match(formatLogLine(`no json ${HOSTILE}`, true), /^[\u0020-\u007e]+$/);
});

test('shows and cuts text when it comes from elsewhere', () => {
  assert.equal(escapeControls('plain ü 日本'), 'plain ü 日本');
  assert.equal(escapeControls(HOSTILE), 'a\\x1b[31m\\x0d\\x0ab\\x07\\x9b2J\\u202eevil\\u2028\\x00');
  assert.equal(
    escapeControls('a\u00a0b\u200bc\u2060\u00ad\u3000d\u202f'),
    'a\\xa0b\\u200bc\\u2060\\xad\\u3000d\\u202f',
    'what looks like a blank or like nothing',
  );
  assert.equal(escapeControls('a\u061cb\u3164c\uffa0\u115f\ufff9'), 'a\\u061cb\\u3164c\\uffa0\\u115f\\ufff9');
  assert.equal(printable('x'.repeat(400)).length, 301);
});

test('moves no cursor, whatever the name of a socket or a file holds', () => {
  assert.equal(escapeLines('a\tb\n\u001b[2J'), 'a\tb\n\\x1b[2J');
  assert.equal(tunnelOfSocket('/run/tunneld/run-a-1.sock'), 'a-1');
  for (const name of ['\u001b]0;x\u0007', 'A', '-x', 'a b', '\u202e'])
    assert.equal(tunnelOfSocket(`/run/tunneld/run-${name}.sock`), null);
  const problem = { file: '/etc/\u001b[2J', line: 1, column: 1, message: '\u001b[31m' };
  assert.equal(formatProblem(problem), '/etc/\\x1b[2J:1:1: \\x1b[31m');
});

test('bounds the memory of lines in number and size', () => {
  const memory = createLogMemory(3, 10);
  for (const line of ['1', '2', '3', '4']) memory.add(line);
  assert.deepEqual(
    memory.recent(10, () => true),
    ['2', '3', '4'],
  );
  assert.deepEqual(
    memory.recent(1, (line) => line !== '4'),
    ['3'],
  );
  assert.deepEqual(
    memory.recent(0, () => true),
    [],
  );
  memory.add('123456789');
  assert.deepEqual(
    memory.recent(10, () => true),
    ['4', '123456789'],
  );
  const heard: string[] = [];
  const stop = memory.follow((line) => heard.push(line));
  memory.add('5');
  stop();
  memory.add('6');
  assert.deepEqual(heard, ['5']);
});

test('keeps a log file private, and rotates before it grows', async (t) => {
  const path = join(await tempDir(t), 'deep', 'tunneld.log');
  const troubles: (string | null)[] = [];
  const { write } = fileOutput(path, (message) => troubles.push(message), 100);
  for (let i = 0; i < 50; i++) write(`${String(i).padStart(9)}\n`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.ok(statSync(path).size <= 110 && statSync(`${path}.1`).size <= 110);
  assert.match(readFileSync(path, 'utf8'), /49\n$/);
  assert.ok(!existsSync(`${path}.2`));
  assert.deepEqual(troubles, []);
});

test('opens a new log file at a reload when the old one was renamed, and loses no line before', async (t) => {
  const path = join(await tempDir(t), 'tunneld.log');
  const { write, reopen } = fileOutput(path, (message) => assert.fail(message ?? 'over'));
  reopen();
  write('1\n');
  reopen();
  write('2\n');
  renameSync(path, `${path}.0`);
  write('3\n');
  reopen();
  write('4\n');
  renameSync(path, `${path}.1`);
  writeFileSync(path, 'made by newsyslog\n');
  reopen();
  write('5\n');
  const texts = ['.0', '.1', ''].map((end) => readFileSync(`${path}${end}`, 'utf8'));
  assert.deepEqual(texts, ['1\n2\n3\n', '4\n', 'made by newsyslog\n5\n']);
});

test('loses lines, says so once, and does nothing else when the disk is full', () => {
  const troubles: (string | null)[] = [];
  const { write } = fileOutput('/dev/full', (message) => troubles.push(message));
  write('a\n');
  write('b\n');
  assert.equal(troubles.length, 1);
  assert.match(troubles[0]!, /\/dev\/full.*ENOSPC/);
});

test('gives the journal lines for people, with priorities', () => {
  const written: string[] = [];
  const { dev, ino } = statSync('/dev/null');
  const stderr = { isTTY: false, fd: 0, on: () => stderr, write: (text: string) => written.push(text) };
  const fd = { ...stderr, fd: openNull() };
  const output = stderrOutput(fd as never, { JOURNAL_STREAM: `${dev}:${ino}` });
  for (const level of [20, 30, 40, 50, 60])
    output.write(`{"level":${level},"time":1,"tunnel":"backup","code":"dns-failed","msg":"two\\nlines"}\n`);
  const message = '[backup] two\\x0alines code=dns-failed\n';
  assert.deepEqual(
    written,
    ['<7>', '<6>', '<4>', '<3>', '<2>'].map((priority) => `${priority}${message}`),
  );
  assert.equal(errorPrefix(fd, { JOURNAL_STREAM: `${dev}:${ino}` }), '<3>');
  assert.equal(errorPrefix(fd, { JOURNAL_STREAM: `${dev}:${ino + 1}` }), '');
  written.length = 0;
  stderrOutput(fd as never, {}).write('{"level":30}\n');
  assert.deepEqual(written, ['{"level":30}\n']);
});

function openNull(): number {
  return openSync('/dev/null', 'r');
}
