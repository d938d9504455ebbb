import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openListenerRecordsFile } from '../../src/host/listener-records-file.ts';
import { readMachine } from '../../src/host/machine.ts';
import { tempDir } from '../support/until.ts';

const noTrouble = (message: string | null) => assert.fail(message ?? 'over');
const HELD = { held: true, machine: { id: 'one', hostKeys: ['a'], hardware: [] }, other: null };
const BARRED = { held: false, machine: null, other: { who: 'SSH host key SHA256:x', day: '2026-01-31' } };

test('remembers when it is restarted, and writes only when something changes', async (t) => {
  const path = join(await tempDir(t), 'state', 'listeners.json');
  const file = openListenerRecordsFile(path, [], noTrouble);
  assert.equal(file.recall('a@b:22 localhost:1'), null);
  file.remember('a@b:22 localhost:1', HELD);
  file.remember('a@b:22 localhost:2', BARRED);
  await file.written();
  const { ino, mode } = statSync(path);
  assert.equal(mode & 0o777, 0o600);
  file.remember('a@b:22 localhost:1', { ...HELD });
  await file.written();
  assert.equal(statSync(path).ino, ino);
  const again = openListenerRecordsFile(path, ['a@b:22 localhost:3'], noTrouble);
  assert.deepEqual(again.recall('a@b:22 localhost:1'), HELD);
  assert.deepEqual(again.recall('a@b:22 localhost:2'), BARRED);
  assert.equal(again.recall('a@b:22 localhost:3'), null);
});

test('takes what worked for its own when there is no file yet', async (t) => {
  const file = openListenerRecordsFile(join(await tempDir(t), 'listeners.json'), ['a@b:22 localhost:3'], noTrouble);
  assert.deepEqual(file.recall('a@b:22 localhost:3'), { held: true, machine: null, other: null });
});

test('replaces a file, and says what was lost, when it is damaged', async (t) => {
  const path = join(await tempDir(t), 'listeners.json');
  for (const content of ['', '{"a', 'null', '[]', '7', '{"a": {"held": 1}, "b": null}']) {
    writeFileSync(path, content);
    const told: (string | null)[] = [];
    const file = openListenerRecordsFile(path, [], (message) => told.push(message));
    for (const key of ['a', 'b']) assert.equal(file.recall(key), null);
    file.remember('c', HELD);
    await file.written();
    assert.deepEqual(openListenerRecordsFile(path, [], noTrouble).recall('c'), HELD);
    if (told.length > 0) assert.deepEqual([/is lost/.test(told[0] ?? ''), told.slice(1)], [true, [null]]);
  }
});

test('says when it cannot write, and remembers until the end', async (t) => {
  const dir = await tempDir(t);
  writeFileSync(join(dir, 'file'), '');
  const told: (string | null)[] = [];
  const file = openListenerRecordsFile(join(dir, 'file', 'listeners.json'), [], (message) => told.push(message));
  file.remember('a', HELD);
  await file.written();
  assert.deepEqual(file.recall('a'), HELD);
  assert.match(told.at(-1) ?? '', /cannot be written, so listeners are not remembered: /);
});

test('tells a machine by digests of its id, its host keys and what its hardware was made with', async (t) => {
  const root = await tempDir(t);
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  assert.deepEqual(await readMachine(root), { id: null, hostKeys: [], hardware: [] });
  write('etc/machine-id', 'uninitialized\n');
  assert.equal((await readMachine(root)).id, null);
  write('etc/machine-id', '0123456789abcdef0123456789abcdef\n');
  write('etc/ssh/ssh_host_ed25519_key.pub', 'ssh-ed25519 AAAA root@pi\n');
  write('sys/firmware/devicetree/base/serial-number', '10000000abcdef01\0');
  for (const [card, type, device] of [
    ['eth0', '0', true],
    ['wlan0', '3', true],
    ['veth0', '0', false],
  ] as const) {
    write(`sys/class/net/${card}/address`, `b8:27:eb:00:00:0${type}\n`);
    write(`sys/class/net/${card}/addr_assign_type`, `${type}\n`);
    if (device) mkdirSync(join(root, 'sys/class/net', card, 'device'));
  }
  const machine = await readMachine(root);
  assert.deepEqual([machine.hostKeys.length, machine.hardware.length], [1, 2]);
  for (const mark of [machine.id, ...machine.hostKeys, ...machine.hardware]) assert.match(mark ?? '', /^[0-9a-f]{16}$/);
  write('run/machine-id', '0123456789abcdef0123456789abcdef\n');
  assert.equal((await readMachine(root)).id, null, 'one that is made anew at each boot');
  assert.ok(!JSON.stringify(machine).includes(readFileSync(join(root, 'etc/machine-id'), 'utf8').slice(0, 8)));
});
