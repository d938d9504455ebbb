import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { anyAnswers, isPlausibleHost, type Probe } from '../../src/host/ping.ts';
import { tempDir, until } from '../support/until.ts';

const never = new AbortController().signal;

interface FakePing {
  readonly calls: () => string[];
  readonly pids: () => number[];
}

/** Puts a program named ping in front of the real one; it notes its process and its arguments, one line each, in $NOTE. */
async function fakePing(t: TestContext, body: string): Promise<FakePing> {
  const dir = await tempDir(t);
  const note = join(dir, 'calls');
  writeFileSync(join(dir, 'ping'), `#!/bin/sh\nNOTE=${note}\necho "$$ $@" >>$NOTE\n${body}\n`);
  chmodSync(join(dir, 'ping'), 0o755);
  setPath(t, `${dir}:/usr/bin:/bin`);
  const lines = () => (existsSync(note) ? readFileSync(note, 'utf8').trim().split('\n') : []);
  return {
    calls: () => lines().map((line) => line.replace(/^\d+ /, '')),
    pids: () => lines().map((line) => Number.parseInt(line, 10)),
  };
}

function setPath(t: TestContext, path: string): void {
  const before = process.env['PATH'] ?? '';
  process.env['PATH'] = path;
  t.after(() => (process.env['PATH'] = before));
}

function isGone(pid: number): boolean {
  return !existsSync(`/proc/${pid}`);
}

test('gets answers of this machine, by address and by name', async () => {
  assert.equal(await anyAnswers(['127.0.0.1'], never), true);
  assert.equal(await anyAnswers(['localhost'], never), true);
});

test('has no answer when a host cannot be asked', async (t) => {
  const { calls } = await fakePing(t, 'exit 0');
  assert.equal(await anyAnswers([], never), false);
  assert.equal(await anyAnswers(['-f', '--flood', '', 'a b', '127.0.0.1;id'], never), false);
  const unresolvable = `${'a'.repeat(64)}.example`; // a label has at most 63 octets (RFC 1035): nobody is even asked
  assert.equal(await anyAnswers([unresolvable], never), false);
  assert.deepEqual(calls(), []);
});

test('sends one request each, to the address, with a limit of its own', async (t) => {
  const { calls } = await fakePing(t, 'exit 1');
  assert.equal(await anyAnswers(['127.0.0.1', '127.0.0.2'], never), false);
  const sent = calls().toSorted((a, b) => a.localeCompare(b));
  assert.deepEqual(sent, ['-n -W 2 -c 1 -s 56 127.0.0.1', '-n -W 2 -c 1 -s 56 127.0.0.2']);
});

test('has no answer and throws nothing when the program is missing, the socket forbidden or the output odd', async (t) => {
  await fakePing(t, 'echo Killed; echo "ping: socket: Operation not permitted" >&2; exit 2');
  assert.equal(await anyAnswers(['127.0.0.1'], never), false);
  setPath(t, await tempDir(t));
  assert.equal(await anyAnswers(['127.0.0.1'], never), false);
});

test('ends the other pings when the first is answered', async (t) => {
  const others = 'case "$*" in *127.0.0.1) ;; *) exec sleep 60 ;; esac';
  const { pids } = await fakePing(t, `${others}; until [ "$(wc -l <$NOTE)" = 3 ]; do sleep 0.01; done`);
  assert.equal(await anyAnswers(['127.0.0.2', '127.0.0.1', '127.0.0.3'], never), true);
  await until(() => pids().every(isGone), { what: 'the end of all pings' });
  assert.equal(pids().length, 3);
});

test('ignores an answer when it comes too late, and ends its ping', async (t) => {
  const { pids } = await fakePing(t, 'exec sleep 60');
  assert.equal(await anyAnswers(['127.0.0.1'], never), false);
  assert.equal(pids().length, 1);
  await until(() => pids().every(isGone), { what: 'the end of the ping' });
});

test('ends the pings when the caller stops waiting', async (t) => {
  const { pids } = await fakePing(t, 'exec sleep 60');
  const controller = new AbortController();
  const answer = anyAnswers(['127.0.0.1'], controller.signal);
  await until(() => pids().length === 1, { what: 'the ping' });
  const reason = new Error('retry now');
  controller.abort(reason);
  await assert.rejects(answer, reason);
  await until(() => pids().every(isGone), { what: 'the end of the ping' });

  const asked: string[] = [];
  const probe: Probe = async (address) => asked.push(address) > 0;
  await assert.rejects(anyAnswers(['127.0.0.1'], controller.signal, probe), reason);
});

test('takes plausible hosts for pings', () => {
  const yes = ['8.8.8.8', '::1', 'fe80::1%eth0', 'one.one.one.one', 'xn--bcher-kva.example.', 'a'];
  const no = ['', '-c', '.a', 'a-', 'a/b', '8.8.8.8 -f', '$(id)', 'ä.example', 'a'.repeat(254)];
  assert.deepEqual([...yes, ...no].filter(isPlausibleHost), yes);
});
