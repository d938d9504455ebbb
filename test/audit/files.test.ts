import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test, type TestContext } from 'node:test';
import type { Connection, ServerChannel } from 'ssh2';
import { allows, readAuthorizedKeys, unreadLines, valuesOf } from '../../src/audit/files/authorized-keys.ts';
import { both, covers, readExtent } from '../../src/audit/files/extent.ts';
import { readFacts, type ServerFacts } from '../../src/audit/files/facts.ts';
import { judgeForcedCommand } from '../../src/audit/files/forced-command.ts';
import { judgeFacts } from '../../src/audit/files/judge.ts';
import { dependsOnOrigin } from '../../src/audit/files/match-criteria.ts';
import { readServer } from '../../src/audit/files/read.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { accessOf } from '../../src/server-rules/access.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { writeRsaKey } from '../support/rsa-key.ts';
import { startSshd, type TestSshd } from '../support/sshd.ts';
import { specFor, testTurns } from '../support/tunnel.ts';
import { startFakeSsh } from '../support/fake-server.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK/X7oTrGab1v2eGMiIi7Komz1hcckjDWErvXg264t5';

test('reads lines of authorized_keys as sshd does when they have options', () => {
  const [first, second, third, ...rest] = readAuthorizedKeys('/keys', [
    '# a comment',
    `restrict,permitopen="a:1",permitopen="[::1]:2",command="echo \\"a, b\\"" ${KEY} me \u001b[31m`,
    `no-pty,Port-Forwarding ${KEY}`,
    '',
    KEY,
    'no key at all',
    `command="unclosed ${KEY}`,
  ]);
  assert.deepEqual([first?.line, second?.line, third?.line, rest.length], [2, 3, 5, 0]);
  assert.equal(first?.comment, String.raw`me \x1b[31m`);
  assert.deepEqual(valuesOf(first, 'permitopen'), ['a:1', '[::1]:2']);
  assert.deepEqual(valuesOf(first, 'command'), ['echo "a, b"']);
  assert.deepEqual([allows(first, 'port-forwarding'), allows(second!, 'port-forwarding')], [false, true]);
  assert.deepEqual([allows(second!, 'pty'), allows(third!, 'pty')], [false, true]);
  assert.match(first.fingerprint, /^SHA256:[\w+/]{43}$/);
});

test('finds whatever sshd takes for a key, or says when a line is not understood', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const rsa = `${sshd.clientKey}_rsa`;
  writeRsaKey(rsa);
  const blobOf = (file: string) => readFileSync(`${file}.pub`, 'utf8').split(' ')[1]!;
  const [ours, long] = [blobOf(sshd.clientKey), blobOf(rsa)];
  const [head, tail] = [ours.slice(0, 10), ours.slice(10)];
  const lines: readonly [line: string, letsIn: boolean][] = [
    [`ssh-ed25519\t${ours}`, true],
    [`rsa-sha2-512 ${long}`, true],
    [`no-pty rsa-sha2-256 ${long}`, true],
    [`ssh-ed25519 ${head}\f${tail}`, true],
    [`ssh-ed25519 ${head}\v${tail} x`, true],
    [`ssh-ed25519 ${head}\r${tail}\r`, true],
    [`ssh-ed25519 ${ours}\0 x`, true],
    [`, ssh-ed25519 ${ours}`, true],
    [`no-pty, ssh-ed25519 ${ours} \0 x`, true],
    [`\fssh-ed25519 ${ours}`, false],
    [`\0ssh-ed25519 ${ours}`, false],
  ];
  for (const [line, letsIn] of lines) {
    writeFileSync(sshd.authorizedKeysFile, `${line}\n`);
    const isIn = [sshd.clientKey, rsa].some((key) => logsIn(sshd, key));
    assert.equal(isIn, letsIn, JSON.stringify(line));
    const found = readAuthorizedKeys('/keys', [line]).map(({ base64 }) => base64);
    if (isIn) assert.ok(found.includes(ours) || found.includes(long), JSON.stringify(line));
  }
  assert.deepEqual(unreadLines(['', `# ${KEY}`, KEY, 'no key at all', `command="x ${KEY}`, `\f${KEY}`]), [5, 6]);
});

function logsIn({ port, user }: TestSshd, key: string): boolean {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'IdentitiesOnly=yes', 'BatchMode=yes'];
  const args = ['-F', 'none', '-i', key, '-p', String(port), ...options.flatMap((one) => ['-o', one])];
  return spawnSync('ssh', [...args, `${user}@127.0.0.1`, 'true'], { stdio: 'ignore' }).status === 0;
}

test('judges a forced command by what it runs when a key has one', () => {
  const of = (...commands: readonly string[]) => commands.map(judgeForcedCommand);
  assert.deepEqual(of('false', '/bin/false', 'exit 1', '/usr/sbin/nologin'), Array(4).fill('nothing'));
  const shells = [
    '/bin/bash',
    'exec sh',
    'env FOO=1 zsh -l',
    '/usr/bin/python3.11 -i',
    'nice -n 5 /bin/dash',
    'internal-sftp',
  ];
  const others = [
    'eval "$SSH_ORIGINAL_COMMAND"',
    'false; sh',
    'true || bash',
    'sudo -s',
    'echo $(sh)',
    'rsync --server . /',
  ];
  assert.deepEqual(of(...shells, ...others), Array(12).fill('anything'));
  assert.deepEqual(of('/opt/backup', 'exit now', '', 'borg serve'), Array(4).fill('unknown'));
});

test('counts a block for some addresses when it may be about the user', () => {
  const of = (...criteria: readonly string[]) => criteria.map((one) => dependsOnOrigin(one, 'limited'));
  assert.deepEqual(
    of('Address 10.0.0.0/8', 'user=limited LocalPort=22', 'User lim* host "a b"', 'address x User "!x,*"'),
    Array(4).fill(true),
  );
  assert.deepEqual(
    of('all', 'User limited', 'Group x User y', 'User boss,clerk Address 10.0.0.0/8'),
    Array(4).fill(false),
  );
});

test('allows what both lists allow when the key and sshd_config have one each', () => {
  const list = (...texts: readonly string[]) => texts.map(readExtent);
  const words = (one: readonly string[] | null, other: readonly string[] | null) =>
    both(one && list(...one), other && list(...other)).map(({ host, port }) => `${host} ${port}`);
  assert.deepEqual(words(null, null), ['* *']);
  assert.deepEqual(words(null, ['a:1']), ['a 1']);
  assert.deepEqual(words(['*:80', 'b:2'], ['a:*', 'b:2']), ['a 80', 'b 2']);
  assert.deepEqual(words(['a:1'], ['b:1']), []);
  assert.deepEqual(words(['localhos?:1', '*x:2'], ['localhost:1', 'y*:2']), ['localhost 1', '*x 2']);
  assert.deepEqual(words(['8080'], null), ['* 8080']);
  assert.deepEqual(words(['[/run/a.sock]:*'], null), ['/run/a.sock *']);
  assert.equal(covers(readExtent('*:80'), readExtent('a:80')), true);
  assert.equal(covers(readExtent('a:80'), readExtent('*:80')), false);
});

test('escapes and bounds what a server prints, and calls it incomplete when its end is missing', () => {
  const facts = readFacts(
    '@uid 0\n@rules\n|permitopen none\n@keys /a\u001b]0;x\u0007\n|@end\n|@rules\n@constructor x\n@other root /x\u001b[2J\n',
  );
  assert.deepEqual(facts.problems, ['the answer of the server is incomplete']);
  assert.deepEqual(facts.otherAccounts, [String.raw`root (/x\x1b[2J)`]);
  assert.deepEqual([...facts.rules], [['permitopen', ['none']]]);
  const many = readFacts(`${'@problem x\n@other a b\n'.repeat(10_000)}@end\n`);
  assert.ok(many.problems.length <= 20 && many.otherAccounts.length <= 20);
  const { findings, problems } = judgeFacts(many, {
    access: accessOf({ name: 'a', forwards: [], verify: 'auto' }, false),
    forwards: [],
    keys: [],
    authorities: [],
    known: [],
  });
  assert.ok(problems.length > 0);
  assert.ok(findings.every(({ detail }) => detail.length < 500));
});

test('knows the line of an authority as the one of server-setup when it is for the same names', () => {
  const [, type = '', base64 = ''] = /^(\S+) (\S+)/.exec(KEY) ?? [];
  const options = 'cert-authority,restrict,permitlisten="localhost:8080",permitopen="none.invalid:1",command="false"';
  const stranger = (names: string, known: string) => {
    const facts = readFacts(
      `@uid 0\n@rules\n|permitopen none\n@keys /a\n|${options},principals="${names}" ${KEY}\n@end\n`,
    );
    const access = accessOf({ name: 'a', forwards: [], verify: 'auto' }, false);
    const judged = judgeFacts(facts, {
      access,
      forwards: [],
      keys: [],
      authorities: [base64],
      known: [`principals="${known}" ${type} ${base64}`, base64],
    });
    assert.deepEqual(judged.problems, []);
    return judged.findings.find(({ hole }) => hole === 'other-keys')?.verdict;
  };
  assert.equal(stranger('device-7', 'device-7'), 'closed');
  assert.equal(stranger('device-7,admin', 'device-7,admin'), 'closed');
  assert.equal(stranger('device-7,admin', 'device-7'), 'open');
});

describe('an administrator at a server that does not behave', () => {
  const answers: Readonly<Record<string, readonly [(channel: ServerChannel) => void, RegExp]>> = {
    'that says nothing of use': [(channel) => channel.end('Welcome!\n'), /incomplete/],
    'that writes without end': [(channel) => pour(channel), /wrote more than 2097152 bytes/],
    'that hangs up': [(channel) => void channel.destroy(), /incomplete|ended|closed/],
  };
  for (const [name, [answer, problem]] of Object.entries(answers))
    test(name, async (t) => {
      const facts = await readFrom(t, (connection) =>
        connection.on('session', (accept) => accept().on('exec', (taken) => answer(taken()))),
      );
      assert.match(facts.problems.join('; '), problem);
      assert.deepEqual([facts.rules.size, facts.keys.length], [0, 0]);
    });

  test("reports an administrator's login when it runs nothing", async (t) => {
    const facts = await readFrom(t, (connection) => connection.on('session', (_, reject) => reject()));
    assert.match(facts.problems.join(), /the server refused to run a command/);
  });
});

function pour(channel: ServerChannel): void {
  channel.on('error', () => {});
  const more = () => {
    while (channel.writable && channel.write(`|${'x'.repeat(60_000)}\n`));
    if (channel.writable) channel.once('drain', more);
  };
  more();
}

async function readFrom(t: TestContext, serve: (connection: Connection) => void): Promise<ServerFacts> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const server = await startFakeSsh(t, sshd, (connection) => {
    connection.on('authentication', (attempt) => attempt.accept());
    serve(connection);
  });
  const deps = {
    clock: systemClock,
    turns: testTurns(),
    log: createLogger('fatal', () => {}),
    identities: createIdentityCache(),
  };
  const admin = specFor(sshd, [[1, 1]], { port: server.port });
  return await readServer(admin, { user: 'limited', keys: [], authorities: [] }, deps, new AbortController().signal);
}
