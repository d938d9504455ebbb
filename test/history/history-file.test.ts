import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openHistoryFile } from '../../src/history/history-file.ts';
import { mayBuildNetworks } from '../lab/lab-test.ts';
import { watchTurns } from '../support/loop-delay.ts';
import { separately } from '../support/separately.ts';
import { tempDir } from '../support/until.ts';

const { node, url } = separately('src/history/history-file.ts');

/** In a mount namespace with a disk of 64 KiB at the directory that it gets. */
const PROGRAM = `
  import { execFileSync } from 'node:child_process';
  import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
  import { openHistoryFile } from ${JSON.stringify(url)};
  const dir = process.argv[1];
  const path = dir + '/history.jsonl';
  const problems = [];
  const file = openHistoryFile(path, (problem) => problems.push(problem));
  const outage = (from) => ({
    type: 'outage', tunnel: 'backup', from, to: from + 1, cause: 'disconnected', message: 'm'.repeat(900), visitors: 0, offMs: 0,
    ended: 'up', boot: 'b',
  });
  const mount = (mode) => execFileSync('mount', ['-o', 'remount,' + mode, dir]);
  const seen = {};
  const look = async (what) => {
    const records = await file.read();
    seen[what] = { problem: problems.at(-1), count: records.length, lines: readFileSync(path, 'utf8').split('\\n').length - 1 };
  };
  await file.append([outage(1)]);
  await look('at first');
  const { bfree, bsize } = statfsSync(dir);
  writeFileSync(dir + '/filler', Buffer.alloc((bfree - 1) * bsize));
  await file.append(Array.from({ length: 10 }, (_, index) => outage(2 + index)));
  await look('full');
  rmSync(dir + '/filler');
  await file.append([outage(12)]);
  await look('room again');
  mount('ro');
  await file.append([outage(13)]);
  await look('read-only');
  mount('rw');
  await file.append([outage(14)]);
  await look('writable again');
  console.log(JSON.stringify(seen));
`;

test('keeps records when a disk is full or read-only, and writes each once when it is not', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const dir = await tempDir(t);
  const mounted = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"';
  const { stdout, stderr } = spawnSync(
    'unshare',
    [
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      mounted,
      'sh',
      dir,
      ...node,
      '--input-type=module',
      '-e',
      PROGRAM,
      dir,
    ],
    { encoding: 'utf8', cwd: fileURLToPath(new URL('../..', import.meta.url)) },
  );
  assert.ok(stdout !== '', stderr);
  const seen = JSON.parse(stdout) as Record<string, { problem: string | null; count: number; lines: number }>;
  const counts = Object.entries(seen).map(([what, { count, lines }]) => [what, count, lines]);
  assert.deepEqual(counts, [
    ['at first', 1, 1],
    ['full', 11, 1],
    ['room again', 12, 12],
    ['read-only', 13, 12],
    ['writable again', 14, 14],
  ]);
  assert.match(seen['full']?.problem ?? '', /history\.jsonl: not written: ENOSPC/);
  assert.match(seen['read-only']?.problem ?? '', /history\.jsonl: not written: EROFS/);
  assert.deepEqual([seen['room again']?.problem, seen['writable again']?.problem], [null, null]);
});

test('lets the event loop go on, and keeps no more than it writes, when a file is full of rubbish', async (t) => {
  const good = `${JSON.stringify({ type: 'stop', at: 1, boot: '' })}\n`;
  const cases: readonly [what: string, text: string, kept: number, damaged: boolean][] = [
    ['empty lines', '\n'.repeat(2 ** 20), 0, true],
    ['incomplete records', '{"type":"stop"}\n'.repeat(2 ** 16), 0, true],
    ['what is nested', `{"a":${'['.repeat(2 ** 20 - 10)}\n`, 0, true],
    ['a time that is none', '{"type":"stop","at":1e300,"boot":""}\n', 0, true],
    ['too many records', good.repeat(30_000), 750, false],
  ];
  for (const [what, text, kept, damaged] of cases) {
    const path = join(await tempDir(t), 'history.jsonl');
    writeFileSync(path, text);
    const problems: (string | null)[] = [];
    const file = openHistoryFile(path, (problem) => problems.push(problem));
    const watched = watchTurns();
    const records = await file.read();
    const { longest } = watched();
    assert.deepEqual([records.length, problems.length > 0], [kept, damaged], what);
    assert.ok(longest < 250, `${what}: ${longest} ms`);
  }
});
