import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { disableAll, disableScript, startScript, stopKeeper } from '../../../src/install/keepers/hold.ts';
import type { Keeper } from '../../../src/install/keepers/keeper.ts';
import type { OldMachine, OldProcess } from '../../../src/install/keepers/machine.ts';
import { runProgram } from '../../../src/install/steps/run-program.ts';
import { tempDir, until } from '../../support/until.ts';

test('starts a process again as it was, and puts its variables into no argument list, when it was started by hand', async (t) => {
  const dir = await tempDir(t);
  const [script, ends, seen, named] = ['script', 'ends', 'seen', 'named'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ];
  // What is told to setsid is what anybody may read.
  writeFileSync(join(dir, 'setsid'), `#!/bin/sh\nprintf '%s\\n' "$@" >${named}\nexec /usr/bin/setsid "$@"\n`);
  chmodSync(join(dir, 'setsid'), 0o755);
  const environment = { SSHPASS: `it's\nEND\n) && : >${ends}`, PATH: '/usr/bin:/bin', 'no.name': 'x' };
  const told = `\nEND\n); : >${ends}\n`;
  const argv = [
    '/bin/sh',
    '-c',
    `env -0 >${seen}.new; pwd >>${seen}.new; printf %s "$1" >>${seen}.new; mv ${seen}.new ${seen}`,
  ];
  const machine = machineOf({ argv: [...argv, 'sh', told], directory: dir, environment });
  writeFileSync(script, startScript(KEEPER, machine));
  execFileSync('sh', [script], { env: { ...process.env, PATH: `${dir}:${process.env['PATH']}`, STRANGE: '1' } });
  await until(() => existsSync(seen), { what: 'the process' });
  const text = readFileSync(seen, 'utf8');
  assert.ok(text.includes(`SSHPASS=${environment.SSHPASS}\0`));
  assert.ok(text.endsWith(`${dir}\n${told}`));
  assert.doesNotMatch(text, /STRANGE|no\.name/);
  assert.doesNotMatch(readFileSync(named, 'utf8'), /SSHPASS|it's/);
  assert.ok(!existsSync(ends));
});

test('makes the same lines of a file comments by the script as by itself, and no others', async (t) => {
  const dir = await tempDir(t);
  const [ours, theirs] = ['ours', 'theirs'].map((name) => join(dir, `${name}'s cron`)) as [string, string];
  const command = "@reboot pi ssh -N -R 1:a:1 'it'\\\n  's & more'";
  const lines = (file: string) => {
    const hold = { type: 'lines', lines: [1, 2], text: command, user: 'pi', command, environment: {} } as const;
    return { name: file, file, commands: [], why: null, enabled: true, running: false, hold };
  };
  for (const file of [ours, theirs]) writeFileSync(file, `# before\n${command}\n# behind\n`, { mode: 0o640 });
  const { failed } = await disableAll([lines(ours)], runProgram);
  assert.deepEqual(failed, []);
  for (let times = 0; times < 2; times += 1) execFileSync('sh', ['-c', disableScript(lines(theirs))]);
  assert.equal(readFileSync(theirs, 'utf8'), readFileSync(ours, 'utf8'));
  assert.equal(statSync(theirs).mode & 0o777, 0o640);
  writeFileSync(theirs, '# before\nanother\nline\n');
  execFileSync('sh', ['-c', disableScript(lines(theirs))]);
  assert.equal(readFileSync(theirs, 'utf8'), '# before\nanother\nline\n');
});

test('ends a process that takes no signal, also when another of the family has ended', async (t) => {
  const dir = await tempDir(t);
  // The first ends at once; the other one has to be killed.
  const stubborn = `trap '' TERM; : >${dir}/ready; while :; do sleep 0.1; done`;
  const children = [['sleep', '60'] as const, ['sh', '-c', stubborn] as const].map(([program, ...args]) =>
    spawn(program, args, { stdio: 'ignore' }),
  );
  for (const child of children) t.after(() => child.kill('SIGKILL'));
  await until(() => existsSync(join(dir, 'ready')), { what: 'the stubborn one' });
  const ended = Promise.all(
    children.map((child) => new Promise((resolve) => child.once('exit', (_, by) => resolve(by)))),
  );
  const [first, second] = children.map(({ pid }) => pid!) as [number, number];
  const args = ['-N', '-R', '1:a:1', 'relay'];
  const command = {
    program: 'ssh',
    args,
    user: 'root',
    directory: '/',
    environment: {},
    droppedSettings: [],
    password: null,
  };
  const machine = machineOf({ argv: ['ssh', ...args], directory: '/', environment: {} });
  const [ssh] = machine.processes as [OldProcess];
  const processes = [
    { ...ssh, pid: first },
    { ...ssh, argv: ['helper'], pid: second, parent: first },
  ];
  await stopKeeper({ ...KEEPER, commands: [command as never] }, { ...machine, processes }, runProgram);
  assert.deepEqual(await ended, ['SIGTERM', 'SIGKILL']);
});

const PID = 2 ** 22 + 1; // above every pid of Linux

const KEEPER = {
  name: 'autossh',
  file: null,
  commands: [],
  why: null,
  enabled: false,
  running: true,
  hold: { type: 'process', pid: PID },
} satisfies Keeper;

function machineOf(process: Pick<OldProcess, 'argv' | 'directory' | 'environment'>): OldMachine {
  const own = { pid: PID, parent: 1, uid: 0, terminal: false, cgroup: '/', ...process };
  return {
    platform: 'linux',
    hostname: 'pi',
    text: () => null,
    names: () => [],
    accounts: [],
    processes: [own],
    inherited: new Set(),
  };
}
