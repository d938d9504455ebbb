import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ConfigEnvironment, systemEnvironment } from '../../../src/config/input/environment.ts';
import { parseOption } from '../../../src/config/ssh-config/line.ts';
import type { SshOption } from '../../../src/config/ssh-config/option.ts';
import { answerOf } from './answer.ts';
import { asPrintedBySsh, sameWords } from './as-printed.ts';

/** Each file of cases/ names in its first line the hosts that it is asked for; what we read must be what ssh reads. */
const cases = fileURLToPath(new URL('cases/', import.meta.url));

const home = mkdtempSync(join(tmpdir(), 'ssh-config-'));
after(() => rmSync(home, { recursive: true }));
cpSync(cases, join(home, 'cases'), { recursive: true });
cpSync(fileURLToPath(new URL('home/', import.meta.url)), join(home, '.ssh'), { recursive: true });
// ssh refuses included files that a group may write to, and a checkout may have made them so.
for (const file of readdirSync(home, { recursive: true, encoding: 'utf8' })) chmodSync(join(home, file), 0o700);

const env: ConfigEnvironment = { ...systemEnvironment(), home };

for (const name of readdirSync(cases).toSorted()) {
  const [, hosts = ''] = /^# hosts: (.*)/.exec(readFileSync(join(cases, name), 'utf8')) ?? [];
  assert.notEqual(hosts, '', `${name} names no hosts`);
  for (const host of hosts.trim().split(' ')) {
    test(`${name} reads ${host} as ssh does`, async () => {
      await compare(join(home, 'cases', name), host, []);
    });
  }
}

for (const [name, host, options] of [
  ['match-user.conf', 'web', ['User=root']],
  ['match-user.conf', 'web', ['user admin', 'Port = 9']],
  ['match-order.conf', 'db', ['HostName=real.example.org']],
  ['hostname-token.conf', 'web', ['HostName %h.example.com']],
  ['jump-first.conf', 'web', ['ProxyCommand=nc "%h" # %p']],
  ['jump-first.conf', 'db', ['ProxyJump=none']],
  ['accumulating.conf', 'web', ['IdentityFile=~/first']],
  ['ignore-unknown.conf', 'web', ['IgnoreUnknown=*', 'Port=7']],
  ['final-hostname.conf', 'web', ['HostName=db']],
] as const) {
  test(`${name} reads ${host} as ssh does after ${options.join(' and ')}`, async () => {
    await compare(join(home, 'cases', name), host, options);
  });
}

async function compare(file: string, host: string, options: readonly string[]): Promise<void> {
  const first = options.map(option);
  const answer = await answerOf({ host, file, first, env });
  assert.deepEqual(answer.problems, []);
  assert.deepEqual([answer.notes, answer.warnings], [[], []]);
  const ours = asPrintedBySsh(answer.options, host, env);
  const theirs = askSsh(file, host, options);
  const defaults = askSsh('none', host, []);
  // What ssh prints and we have not read must be its default, and the other way round.
  for (const key of new Set([...theirs.keys(), ...ours.keys()].filter((each) => !OF_A_SHELL.includes(each))))
    assert.deepEqual(sameWords(ours.get(key) ?? defaults.get(key)), sameWords(theirs.get(key)), `${key} of ${host}`);
}

/** Variables for a shell on the server, which a tunnel does not open. */
const OF_A_SHELL = ['sendenv', 'setenv'];

function option(text: string): SshOption {
  const result = parseOption(text, { file: 'command line', line: 1, column: 1 });
  return 'option' in result ? result.option : assert.fail(result.problem);
}

function askSsh(file: string, host: string, options: readonly string[]): Map<string, string[]> {
  const flags = options.flatMap((each) => ['-o', each]);
  const ssh = spawnSync('ssh', ['-G', '-F', file, ...flags, '--', host], {
    encoding: 'utf8',
    env: { ...process.env, HOME: home, SSH_AUTH_SOCK: '/nowhere' },
  });
  assert.equal(ssh.status, 0, ssh.stderr);
  const printed = new Map<string, string[]>();
  for (const line of ssh.stdout.trimEnd().split('\n')) {
    const [, key = '', value = ''] = /^(\S+) ?(.*)$/.exec(line) ?? [];
    printed.set(key.toLowerCase(), [...(printed.get(key.toLowerCase()) ?? []), value]);
  }
  printed.delete('host');
  return printed;
}
