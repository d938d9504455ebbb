import assert from 'node:assert/strict';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { applyChanges, changesOf, showChange } from '../../src/install/steps/apply-changes.ts';
import { unifiedDiff } from '../../src/install/steps/diff.ts';
import { mustRun, runProgram, type Runner } from '../../src/install/steps/run-program.ts';
import type { Step } from '../../src/install/steps/step.ts';
import { tempDir } from '../support/until.ts';

const { username } = userInfo();

async function someDirectory(t: TestContext) {
  const dir = await tempDir(t);
  const group = (await mustRun(runProgram, ['id', '-gn'])).trim();
  const mine = { owner: username, group };
  return {
    dir,
    file: (name: string, content: string | null, mode = 0o640): Step => ({
      type: 'file',
      path: join(dir, name),
      mode,
      content,
      ...mine,
    }),
    directory: (name: string, mode = 0o750): Step => ({ type: 'directory', path: join(dir, name), mode, ...mine }),
  };
}

/** Everything below, with modes and texts. */
function snapshot(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const stats = lstatSync(join(dir, name));
      return `${name} ${(stats.mode & 0o7777).toString(8)} ${stats.isFile() ? readFileSync(join(dir, name), 'utf8') : ''}`;
    });
}

test('is done when it was applied once, and then has nothing left to do', async (t) => {
  const { dir, file, directory } = await someDirectory(t);
  writeFileSync(join(dir, 'old'), 'before', { mode: 0o644 });
  writeFileSync(join(dir, 'gone'), '');
  writeFileSync(join(dir, 'kept'), 'kept', { mode: 0o644 });
  const steps: readonly Step[] = [
    directory('folder'),
    file('folder/new', 'new\n'),
    file('old', 'after'),
    file('kept', null, 0o600),
    file('missing', null),
    { type: 'remove', path: join(dir, 'gone') },
  ];
  const changes = await changesOf(steps, runProgram);
  assert.equal(changes.length, 5);
  const undo = await applyChanges(changes, runProgram, () => {});
  assert.deepEqual(snapshot(dir), ['folder 750 ', 'folder/new 640 new\n', 'kept 600 kept', 'old 640 after']);
  assert.deepEqual(await changesOf(steps, runProgram), []);

  assert.deepEqual(await undo(), []);
  assert.deepEqual(snapshot(dir), ['gone 644 ', 'kept 644 kept', 'old 644 before']);
});

test('does a file again when it is of another group', async (t) => {
  const { dir, file } = await someDirectory(t);
  const step = file('mine', 'text', 0o600);
  writeFileSync(join(dir, 'mine'), 'text', { mode: 0o600 });
  const elsewhere: Runner = (argv) =>
    argv[1] === 'group' ? Promise.resolve({ code: 0, stdout: `${argv[2]}:x:4242:\n`, stderr: '' }) : runProgram(argv);
  assert.deepEqual(await changesOf([step], runProgram), []);
  assert.equal((await changesOf([step], elsewhere)).length, 1);
});

test('takes back the steps before when one fails', async (t) => {
  const { dir, file, directory } = await someDirectory(t);
  writeFileSync(join(dir, 'old'), 'before', { mode: 0o644 });
  const before = snapshot(dir);
  const steps: readonly Step[] = [directory('folder'), file('old', 'after'), file('none/new', ''), file('never', '')];
  await assert.rejects(
    applyChanges(await changesOf(steps, runProgram), runProgram, () => {}),
    (error: Error) => {
      assert.match(error.message, /cannot write \S+none\/new: ENOENT.*\nall changes were reverted$/s);
      return true;
    },
  );
  assert.deepEqual(snapshot(dir), before);
  const command: Step = { type: 'command', argv: ['false'], why: '' };
  await assert.rejects(
    applyChanges(await changesOf([directory('folder'), command], runProgram), runProgram, () => {}),
    /`false` failed \(exit code 1\)\nall changes were reverted/,
  );
  assert.deepEqual(snapshot(dir), before);
});

test('writes nothing through a link, and gives nothing away when it has another name', async (t) => {
  const { dir, file, directory } = await someDirectory(t);
  writeFileSync(join(dir, 'target'), 'target', { mode: 0o644 });
  symlinkSync('target', join(dir, 'link'));
  await assert.rejects(changesOf([file('link', 'x')], runProgram), /link is a link: replace it with a plain file/);
  linkSync(join(dir, 'target'), join(dir, 'hard'));
  await assert.rejects(
    applyChanges(await changesOf([file('hard', null, 0o600)], runProgram), runProgram, () => {}),
    /cannot change the owner of \S+hard: it has another name elsewhere/,
  );
  mkdirSync(join(dir, 'folder'));
  await assert.rejects(changesOf([file('folder', 'x')], runProgram), /is a directory, but a file is needed there/);
  await assert.rejects(changesOf([directory('target')], runProgram), /is a file, but a directory is needed there/);
  assert.equal(statSync(join(dir, 'target')).mode & 0o777, 0o644);
});

test('clears away and hides what is left beside a file when an installation was killed', async (t) => {
  const { dir, file } = await someDirectory(t);
  writeFileSync(join(dir, '.unit.99999999.0123456789ab.new'), 'half');
  await applyChanges(await changesOf([file('unit', 'whole')], runProgram), runProgram, () => {});
  assert.deepEqual(readdirSync(dir), ['unit']);
});

test('makes a user once, with what there is of a group', async () => {
  const asked: string[] = [];
  const machine =
    (group: boolean): Runner =>
    async (argv) => {
      asked.push(argv.join(' '));
      const code = argv[0] === 'useradd' || (argv[1] === 'group' && group) ? 0 : 2;
      return { code, stdout: code === 0 && argv[1] === 'group' ? 'tunneld:x:900:\n' : '', stderr: '' };
    };
  const steps: readonly Step[] = [{ type: 'user', name: 'tunneld', home: '/var/lib/tunneld' }];
  for (const group of [true, false]) {
    const run = machine(group);
    await applyChanges(await changesOf(steps, run), run, () => {});
    const line = asked.findLast((command) => command.startsWith('useradd ')) ?? '';
    assert.match(line, group ? /--gid tunneld / : /--user-group /);
    assert.match(line, /--system .*--home-dir \/var\/lib\/tunneld .*--shell \/usr\/sbin\/nologin/);
  }
});

test('shows how a file differs, and never a key, when it prints a step', async (t) => {
  const { dir, file } = await someDirectory(t);
  writeFileSync(join(dir, 'unit'), 'a\nb\nc\n');
  const [unit, key, known] = await changesOf(
    [file('unit', 'a\nB\nc\n'), file('key', 'PRIVATE', 0o600), file('known_hosts', 'public', 0o600)],
    runProgram,
  );
  assert.match(showChange(unit!), /^change \S+unit {3}0640 \S+\n {4}@@ -1 \+1 @@\n {5}a\n {4}-b\n {4}\+B\n {5}c\n/);
  assert.match(showChange(key!), /^write {2}\S+key {3}0600 .*not shown/);
  assert.doesNotMatch(showChange(key!), /PRIVATE/);
  assert.match(showChange(known!), /\+public/);
});

test('shows three lines around when it prints a difference', () => {
  const lines = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => `${from + index}`);
  const before = lines(1, 20).join('\n');
  const after = [...lines(1, 9), 'ten', ...lines(11, 18), ...lines(20, 20), '21'].join('\n');
  assert.equal(
    unifiedDiff(before, after),
    [
      '@@ -7 +7 @@',
      ' 7',
      ' 8',
      ' 9',
      '-10',
      '+ten',
      ' 11',
      ' 12',
      ' 13',
      '@@ -16 +16 @@',
      ' 16',
      ' 17',
      ' 18',
      '-19',
      ' 20',
      '+21',
    ].join('\n'),
  );
  assert.equal(unifiedDiff('same', 'same'), '');
  assert.equal(unifiedDiff('', 'new'), '@@ -1 +1 @@\n-\n+new');
});

test('says why a program gave no exit code', async (t) => {
  const dir = await tempDir(t);
  writeFileSync(join(dir, 'none'), '', { mode: 0o644 });
  await assert.rejects(mustRun(runProgram, [join(dir, 'none')]), /failed \(exit code 126\): .*EACCES/);
  await assert.rejects(mustRun(runProgram, [join(dir, 'missing')]), /failed \(exit code 127\): program not found/);
  await assert.rejects(mustRun(runProgram, ['sh', '-c', 'kill -9 $$']), /failed \(killed by a signal\)/);
});
