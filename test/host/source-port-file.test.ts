import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { openListenerRecordsFile } from '../../src/host/listener-records-file.ts';
import { openPortFile } from '../../src/host/source-port-file.ts';
import { tempDir } from '../support/until.ts';

const noTrouble = (message: string | null) => assert.fail(message ?? 'over');

test('remembers when it is restarted, in a file that is ours alone', async (t) => {
  const dir = join(await tempDir(t), 'state');
  const path = join(dir, 'source-ports.json');
  const file = openPortFile(path, noTrouble);
  assert.deepEqual(file.recall('backup relay:22'), []);
  file.remember('backup relay:22', [61_001, 61_002]);
  file.remember('other relay:22', [61_003]);
  await file.written();
  const again = openPortFile(path, noTrouble);
  assert.deepEqual(again.recall('backup relay:22'), [61_001, 61_002]);
  assert.deepEqual(again.recall('other relay:22'), [61_003]);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(dir), ['source-ports.json']);
});

test('replaces a file, and says which ports were lost, when it is damaged', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  for (const content of [
    '',
    '{"backup',
    'null',
    '[]',
    '7',
    '\0\0\0\0',
    '{"a": ["x"], "b": [70000], "c": {}, "d": 5}',
  ]) {
    writeFileSync(path, content);
    const told: (string | null)[] = [];
    const file = openPortFile(path, (message) => told.push(message));
    for (const key of ['a', 'b', 'c', 'd', 'backup']) assert.deepEqual(file.recall(key), []);
    if (!content.startsWith('{"a"') && content !== '[]')
      assert.match(told[0] ?? '', /source-ports\.json cannot be read, so the source ports are lost/);
    file.remember('backup', [61_001]);
    await file.written();
    assert.deepEqual(openPortFile(path, noTrouble).recall('backup'), [61_001]);
  }
});

test('does not wait when it finds what is no file at all', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  execFileSync('mkfifo', [path]);
  const told: (string | null)[] = [];
  const file = openPortFile(path, (message) => told.push(message));
  file.remember('backup', [61_001]);
  await file.written();
  assert.match(told.join(), /is not a regular file/);
  assert.deepEqual(openPortFile(path, noTrouble).recall('backup'), [61_001]);
});

test('reports nothing of a file when a link leads to it', async (t) => {
  const dir = await tempDir(t);
  writeFileSync(join(dir, 'secret'), 'root:$y$j9T$secret');
  symlinkSync(join(dir, 'secret'), join(dir, 'state.json'));
  const told: (string | null)[] = [];
  openPortFile(join(dir, 'state.json'), (message) => told.push(message));
  openListenerRecordsFile(join(dir, 'state.json'), [], (message) => told.push(message));
  assert.equal(told.length, 2);
  for (const message of told) assert.match(message ?? '', /lost: it is not JSON$/);
});

test('reads what a loss of power leaves of a write without harm', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  const before = openPortFile(path, noTrouble);
  before.remember('backup', [61_001]);
  await before.written();
  writeFileSync(join(dirname(path), '.source-ports.json.99999999.0123456789ab.new'), '{"ba');
  const file = openPortFile(path, noTrouble);
  assert.deepEqual(file.recall('backup'), [61_001]);
  file.remember('backup', [61_002]);
  await file.written();
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { backup: [61_002] });
  assert.deepEqual(readdirSync(dirname(path)), ['source-ports.json']);
});

test('says once when a directory cannot be written to, and remembers the ports while it runs', async (t) => {
  const dir = await tempDir(t);
  const blocked = join(dir, 'state');
  writeFileSync(blocked, '');
  const told: (string | null)[] = [];
  const file = openPortFile(join(blocked, 'source-ports.json'), (message) => told.push(message));
  told.length = 0;
  file.remember('backup', [61_001]);
  await file.written();
  file.remember('backup', [61_002]);
  await file.written();
  assert.deepEqual(file.recall('backup'), [61_002]);
  assert.equal(told.length, 1);
});

test('keeps the file from growing without end', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  writeFileSync(
    path,
    JSON.stringify(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`t${i}`, [61_001]]))),
  );
  const file = openPortFile(path, noTrouble);
  file.remember('new', [61_002]);
  await file.written();
  assert.equal(Object.keys(JSON.parse(readFileSync(path, 'utf8')) as object).length, 500);
  assert.deepEqual(file.recall('new'), [61_002]);
  assert.deepEqual([file.recall('t0'), file.recall('t19999')], [[], [61_001]]);
});

test('writes when a dead connection went as soon as it is news, and forgets it with its ports', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  const file = openPortFile(path, noTrouble);
  assert.equal(file.eviction('backup relay:22'), null);
  file.remember('backup relay:22', [61_001]);
  await file.written();
  assert.equal(readFileSync(path, 'utf8'), '{\n  "backup relay:22": [\n    61001\n  ]\n}\n');
  const seen = { day: '2026-01-31', seconds: 2 };
  file.noteEviction('backup relay:22', seen);
  await file.written();
  assert.deepEqual(openPortFile(path, noTrouble).eviction('backup relay:22'), seen);
  const { ino } = statSync(path);
  file.noteEviction('backup relay:22', seen);
  await file.written();
  assert.equal(statSync(path).ino, ino);
  file.remember('backup relay:22', [61_002, 61_001]);
  await file.written();
  const again = openPortFile(path, noTrouble);
  assert.deepEqual([again.recall('backup relay:22'), again.eviction('backup relay:22')], [[61_002, 61_001], seen]);
  // Of one whose ports nobody knows nothing is said.
  again.noteEviction('gone relay:22', seen);
  await again.written();
  assert.equal(openPortFile(path, noTrouble).eviction('gone relay:22'), null);
});

test('loses no port when memories of dead connections are damaged', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  for (const damage of [
    null,
    7,
    [],
    'x',
    { 'a b': null },
    { 'a b': { day: 'x', seconds: 1 } },
    { 'a b': { day: '2026-01-31' } },
  ]) {
    writeFileSync(path, JSON.stringify({ 'a b': [61_001], evictions: damage }));
    const file = openPortFile(path, noTrouble);
    assert.deepEqual([file.recall('a b'), file.eviction('a b')], [[61_001], null], JSON.stringify(damage));
  }
});

test('says once that the file cannot be written when several writes fail', async (t) => {
  const path = join(await tempDir(t), 'source-ports.json');
  const told: (string | null)[] = [];
  const file = openPortFile(path, (message) => told.push(message));
  mkdirSync(path);
  for (const port of [61_001, 61_002]) {
    file.remember('backup', [port]);
    await file.written();
  }
  assert.equal(told.length, 1, told.join('\n'));
  assert.match(told[0] ?? '', /cannot be written, so source ports are not remembered: EISDIR/);
});
