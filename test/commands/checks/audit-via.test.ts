import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditDocument, TunnelReport } from '../../../src/audit/document.ts';
import { readFacts } from '../../../src/audit/files/facts.ts';
import { judgeFacts } from '../../../src/audit/files/judge.ts';
import { readerScript } from '../../../src/audit/files/script.ts';
import type { Finding } from '../../../src/audit/findings/finding.ts';
import { accessOf } from '../../../src/server-rules/access.ts';
import type { ForwardSpec } from '../../../src/model/spec.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { reload, setUp, untilListening, USER } from '../../whole/server-setup/fixture.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { PROGRAM } from '../../support/tunneld.ts';

const BLOCK = `/etc/ssh/sshd_config.d/00-tunneld-${USER}.conf`;
const KEYS = `/etc/ssh/authorized_keys.d/${USER}`;
const STRANGER = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK/X7oTrGab1v2eGMiIi7Komz1hcckjDWErvXg264t5 a stranger';
/** It has signed the tunnel's certificate. */
const AUTHORITY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICDhR2nCeaOu4pBcN0xv1XzMoFq3l7OdcRmH7ZJ2IRcI the CA';

interface Trap {
  readonly name: string;
  /** What the rules tell, beyond what is open already. */
  readonly open: readonly string[];
  /** What is found without them, too; none where nobody would try that. */
  readonly tried?: RegExp;
  /** Lines of the block that become others. */
  readonly lines?: Readonly<Record<string, string>>;
  /** The file of keys, from what it was. */
  readonly keys?: (text: string) => string;
  /** Added to sshd_config. */
  readonly config?: string;
  readonly also?: string;
  readonly detail: RegExp;
}

const permit = (what: 'permitopen' | 'permitlisten', value: string) => (text: string) =>
  text.replace(`${what}=`, `${what}="${value}",${what}=`);
const alsoOpens = (value: string) => ({ PermitOpen: `PermitOpen localhost:8080 ${value}` });

const TRAPS: readonly Trap[] = [
  {
    name: 'one port of every host',
    open: ['connect-server', 'connect-elsewhere'],
    tried: /the server tried to connect to (?:127\.0\.0\.1|localhost):80/,
    lines: alsoOpens('*:80'),
    keys: permit('permitopen', '*:80'),
    detail: /PermitOpen \*:80 \(line 1 of \/etc\/ssh\/authorized_keys\.d\/limited/,
  },
  {
    name: 'every port of localhost',
    open: ['connect-server'],
    tried: /the server (?:tried to connect|connected) to localhost:/,
    lines: alsoOpens('localhost:*'),
    keys: permit('permitopen', 'localhost:*'),
    detail: /PermitOpen localhost:\*/,
  },
  {
    name: 'a machine behind the server',
    open: ['connect-elsewhere'],
    lines: alsoOpens('10.9.8.7:22'),
    keys: permit('permitopen', '10.9.8.7:22'),
    detail: /PermitOpen 10\.9\.8\.7:22/,
  },
  {
    name: 'a port of the server',
    open: ['connect-server'],
    lines: alsoOpens('127.0.0.1:45678'),
    keys: permit('permitopen', '127.0.0.1:45678'),
    detail: /PermitOpen 127\.0\.0\.1:45678/,
  },
  {
    name: 'one more listener',
    open: ['listen-port'],
    lines: { PermitListen: 'PermitListen localhost:8080 localhost:12345' },
    keys: permit('permitlisten', 'localhost:12345'),
    detail: /PermitListen localhost:12345/,
  },
  {
    name: 'the same port of every address',
    open: ['listen-everywhere'],
    tried: /the server listened on port 8080 of other addresses/,
    lines: { PermitListen: 'PermitListen 8080', GatewayPorts: 'GatewayPorts clientspecified' },
    keys: (text) => text.replace('permitlisten="localhost:8080"', 'permitlisten="8080"'),
    detail: /PermitListen \*:8080/,
  },
  {
    name: 'listeners of localhost that are for all',
    open: ['listen-public'],
    lines: { GatewayPorts: 'GatewayPorts yes' },
    detail: /GatewayPorts yes/,
  },
  {
    name: 'another key',
    open: ['other-keys'],
    keys: (text) => `${text}${STRANGER}\n`,
    detail: /line 2 of \S+: SHA256:\S+ a stranger: it is not restricted/,
  },
  {
    name: "another authority, with the tunnel's limits",
    open: ['other-keys'],
    keys: (text) => `${text}cert-authority,${text.slice(0, text.indexOf(' ssh-'))} ${STRANGER}\n`,
    detail: /line 2 of \S+: SHA256:\S+ a stranger: it accepts every key that it has signed/,
  },
  {
    name: "what the authority's line allows the tunnel's certificate",
    open: ['connect-elsewhere', 'other-keys'],
    lines: alsoOpens('10.9.8.7:22'),
    keys: (text) =>
      `${text}cert-authority,restrict,port-forwarding,permitlisten="localhost:8080",permitopen="10.9.8.7:22" ${AUTHORITY}\n`,
    detail: /PermitOpen 10\.9\.8\.7:22 \(line 2 of/,
  },
  {
    name: 'another key, written as nobody writes one',
    open: ['other-keys'],
    keys: (text) => `${text}${STRANGER.replace('AAAAC3', 'AAAA\fC3')}\n`,
    detail: /line 2 of \S+: SHA256:\S+ a stranger: it is not restricted/,
  },
  {
    name: 'another key, in a further file whose name has blanks',
    open: ['other-keys'],
    lines: { AuthorizedKeysFile: `AuthorizedKeysFile ${KEYS} "/run/second/more  keys/%u"` },
    also: `mkdir -p "/run/second/more  keys" && echo "${STRANGER}" >"/run/second/more  keys/${USER}"`,
    detail: /line 1 of \/run\/second\/more {2}keys\/limited: SHA256:\S+ a stranger: it is not restricted/,
  },
  {
    name: 'another key whose forced command is a shell',
    open: ['other-keys'],
    lines: { ForceCommand: 'ForceCommand none' },
    keys: (text) => `${text}restrict,command="exec /bin/bash --login" ${STRANGER}\n`,
    detail: /a stranger: it runs commands/,
  },
  {
    name: 'a forced command that runs what it is told',
    open: ['command'],
    lines: { ForceCommand: 'ForceCommand none' },
    keys: (text) => text.replace('command="false"', 'command="python3 -"'),
    detail: /line 1 of \S+ has the forced command python3 -/,
  },
  {
    name: 'one more listener, by a pattern',
    open: ['listen-port'],
    lines: { PermitListen: 'PermitListen localhost:8080 localhos?:12345' },
    keys: permit('permitlisten', 'localhost:12345'),
    detail: /PermitListen localhost:12345/,
  },
  {
    name: 'the key at another account, where the last line of keys has no end',
    open: ['other-accounts'],
    keys: (text) => text.trimEnd(),
    also: `useradd -m -d /run/second second && mkdir /run/second/.ssh && cp ${KEYS} /run/second/.ssh/authorized_keys`,
    detail: /^second \(\/run\/second\/\.ssh\/authorized_keys\)$/,
  },
  {
    name: 'the key at another account',
    open: ['other-accounts'],
    also: `useradd -m -d /run/second second && mkdir /run/second/.ssh && cp ${KEYS} /run/second/.ssh/authorized_keys`,
    detail: /^second \(\/run\/second\/\.ssh\/authorized_keys\)$/,
  },
  {
    name: 'the key at another name of the same account',
    open: ['other-accounts'],
    also: `useradd -m -d /run/second -o -u "$(id -u ${USER})" second && mkdir /run/second/.ssh && cp ${KEYS} /run/second/.ssh/authorized_keys`,
    detail: /^second \(\/run\/second\/\.ssh\/authorized_keys\)$/,
  },
  {
    name: 'variables of every name',
    open: ['environment'],
    tried: /LD_PRELOAD/,
    lines: { AcceptEnv: 'AcceptEnv *' },
    detail: /AcceptEnv \*/,
  },
  {
    name: 'a variable that nobody tries',
    open: ['environment'],
    lines: { AcceptEnv: 'AcceptEnv MY_PROGRAM' },
    detail: /AcceptEnv MY_PROGRAM/,
  },
  {
    name: 'environment= and ~/.ssh/environment',
    open: ['environment'],
    config: 'PermitUserEnvironment yes',
    detail: /PermitUserEnvironment yes/,
  },
  {
    name: 'a file of the user that runs in front of a forced command',
    open: ['user-rc'],
    lines: { PermitUserRC: 'PermitUserRC yes' },
    keys: (text) => text.replace('restrict,', 'restrict,user-rc,'),
    also: `mkdir -p /run/home && usermod --home /run/home ${USER}`,
    detail: /PermitUserRC yes, and line 1 of/,
  },
  {
    name: 'network devices',
    open: ['tunnel-device'],
    tried: /the server (?:tried to make|made) one/,
    lines: { PermitTunnel: 'PermitTunnel yes' },
    detail: /PermitTunnel yes/,
  },
];

test("finds each hole alone when --via reads the server's files, and calls nothing closed that was not tried", async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    config: 'Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n',
    prepare: PREPARE,
  });
  await untilListening(world);
  await setUp(world);
  const admin = join(world.dir, 'admin_key');
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', admin]);
  world.run([
    'sh',
    '-c',
    'for home in boss clerk; do cat >/run/$home/.ssh/authorized_keys <"$0"; done',
    `${admin}.pub`,
  ]);
  const before = [BLOCK, KEYS, '/etc/ssh/sshd_config', '/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow'].map(
    (path) => [path, world.read(path)!] as const,
  );
  const snapshot = world.snapshot();

  const closed = auditOf(world, 'boss');
  assert.equal(closed.code, 0, JSON.stringify(closed.report, null, 1));
  assert.equal(closed.report.verdict, 'closed');
  assert.deepEqual(closed.report.notTried, []);
  assert.deepEqual(world.snapshot(), snapshot, 'nothing was written');
  // Nor is it where an authority of the tunnel's is not known.
  writeFileSync(`${world.key}-cert.pub`, 'no certificate');
  const unsure = auditOf(world, 'boss');
  rmSync(`${world.key}-cert.pub`);
  assert.deepEqual([unsure.code, unsure.report.verdict], [1, 'unknown']);
  assert.match(
    unsure.report.notTried.at(-1)?.reason ?? '',
    /-cert\.pub is no OpenSSH certificate.*: whom its authority lets in was not judged/,
  );
  const blind = auditOf(world, null);
  assert.deepEqual([blind.code, blind.report.verdict], [0, 'closed-as-tried']);
  assert.match(
    blind.text,
    /not tried \(only the files of the server show it: --via \[me@\]server reads them\):\n {4}targets/,
  );
  assert.match(blind.text, /conclusion: nothing that was tried is open; what was not tried may be/);
  assert.match(blind.text, /could not connect to the server's own ports, past its firewall, where that was tried/);

  // Who may not read all says so.
  const half = auditOf(world, 'clerk');
  assert.deepEqual([half.code, half.report.verdict], [1, 'unknown']);
  assert.match(half.report.notTried.at(-1)?.reason ?? '', /not everything could be read: .*root/);
  const stranger = auditOf(world, 'nobody');
  assert.deepEqual([stranger.code, stranger.report.verdict], [1, 'unknown']);
  assert.match(stranger.report.notTried.at(-1)?.reason ?? '', /auth-rejected/);

  for (const trap of TRAPS)
    await t.test(`finds ${trap.name} when it is the only hole`, async () => {
      plant(world, trap);
      // Where nothing is tried, what an administrator reads is enough.
      const findings = trap.tried === undefined ? readOf(world) : await auditAnew(world);
      const open = findings.filter(({ verdict }) => verdict === 'open');
      assert.deepEqual(
        open.map(({ hole }) => hole),
        trap.open,
        JSON.stringify(findings, null, 1),
      );
      assert.match(open[0]?.detail ?? '', trap.detail);
      if (trap.tried !== undefined) assert.match(open[0]?.detail ?? '', trap.tried);
      for (const [path, text] of before) writeFileSync(join(world.dir, path), text);
      world.run(['rm', '-rf', '/run/second', '/run/home']);
    });

  for (const [what, also, problem] of [
    [
      'rules for other addresses',
      `printf 'Match Address 203.0.113.0/24 User ${USER}\\n  PermitOpen any\\n' >>/etc/ssh/sshd_config`,
      /other rules for logins from other addresses.*Match Address 203\.0\.113\.0\/24/,
    ],
    [
      'a key whose forced command nobody knows',
      `printf '%s\\n' 'restrict,command="/opt/backup" ${STRANGER}' >>${KEYS} && sed -i s/ForceCommand.*/ForceCommand\\ none/ ${BLOCK}`,
      /forced command \/opt\/backup of line 2 of .* is not known here/,
    ],
    [
      'keys that a program says, as another user,',
      `${KEYS_COMMAND} && sed -i '/AuthorizedKeysCommand /d' ${BLOCK}`,
      /keys of other accounts come from authorizedkeyscommand, too.*keys come from authorizedkeyscommand, too/,
    ],
    [
      'keys that a program says for other accounts',
      KEYS_COMMAND,
      /^keys of other accounts come from authorizedkeyscommand, too$/,
    ],
    [
      'what certificates open',
      `${TRUSTED} && sed -i '/TrustedUserCAKeys/d' ${BLOCK}`,
      /keys come from trustedusercakeys, too/,
    ],
    [
      'other accounts that trust an authority which cannot be read',
      `${TRUSTED} && rm -f /run/ca.pub`,
      /^\/run\/ca\.pub could not be read, whose authorities other accounts trust$/,
    ],
    [
      "other accounts that trust the authority of the tunnel's certificate",
      `${TRUSTED} && echo '${AUTHORITY}' >/run/ca.pub`,
      /^other accounts trust the authority of the tunnel's certificate \(TrustedUserCAKeys \/run\/ca\.pub\)$/,
    ],
    [
      'a line that sshd may read otherwise',
      `printf '%s\\n' 'restrict,command="x ${STRANGER}' >>${KEYS}`,
      /line 2 of .* is not understood/,
    ],
    [
      "an account whose own keys name the authority of the tunnel's certificate",
      `echo 'cert-authority ${AUTHORITY}' >>/run/clerk/.ssh/authorized_keys`,
      /^clerk may trust the authority of the tunnel's certificate \(\/run\/clerk\/\.ssh\/authorized_keys\)$/,
    ],
  ] as const)
    await t.test(`does not call ${what} closed`, () => {
      plant(world, { name: what, open: [], detail: /$/, also });
      assert.match(readOf(world, 'with problems').join('; '), problem);
      for (const [path, text] of before) writeFileSync(join(world.dir, path), text);
    });
});

/** Not for the user of the tunnel itself, as server-setup has it. */
const TRUSTED = `sed -i '1iTrustedUserCAKeys /run/ca.pub\\nAuthorizedPrincipalsFile /run/principals' /etc/ssh/sshd_config`;
const KEYS_COMMAND = `sed -i '1iAuthorizedKeysCommand /usr/bin/true %u\\nAuthorizedKeysCommandUser nobody' /etc/ssh/sshd_config`;

async function auditAnew(world: ServerWorld): Promise<TunnelReport['findings']> {
  await reload(world);
  const { code, report } = auditOf(world, 'boss');
  assert.deepEqual([code, report.verdict], [1, 'open']);
  return report.findings;
}

/** The same script without the login, and what is made of its answer. */
function readOf(world: ServerWorld): readonly Finding[];
function readOf(world: ServerWorld, what: 'with problems'): readonly string[];
function readOf(world: ServerWorld, what?: 'with problems'): readonly Finding[] | readonly string[] {
  const forward: ForwardSpec = {
    kind: 'remote',
    listen: { type: 'tcp', host: 'localhost', port: 8080 },
    target: { type: 'tcp', host: 'localhost', port: 2022 },
  };
  const keys = [readFileSync(`${world.key}.pub`, 'utf8').split(' ')[1]!];
  const authorities = [AUTHORITY.split(' ')[1]!];
  const script = readerScript({ user: USER, keys, authorities });
  const { code, stdout, stderr } = world.run(['sh', '-s', '--', '127.0.0.1 4000 127.0.0.1 22'], script);
  assert.equal(code, 0, stderr);
  const access = accessOf({ name: 'backup', forwards: [forward], verify: 'auto' }, true);
  const { findings, problems } = judgeFacts(readFacts(stdout), {
    access,
    forwards: [forward],
    keys,
    authorities,
    known: keys,
  });
  if (what === 'with problems') return problems;
  assert.deepEqual(problems, []);
  return findings;
}

/**
 * Of this machine's accounts only a few are there, since the script asks sshd about each of them. `boss` is root under another name, `clerk`
 * nobody in particular.
 */
const PREPARE = `sed -i '/^\\(root\\|daemon\\|nobody\\|sshd\\):/!d' /etc/passwd /etc/shadow
useradd -o -u 0 -m -d /run/boss boss
useradd -m -d /run/clerk clerk
mkdir /run/boss/.ssh /run/clerk/.ssh
usermod --password '*' boss
usermod --password '*' clerk`;

function plant(world: ServerWorld, { lines = {}, keys = (text) => text, config, also }: Trap): void {
  const edit = (path: string, change: (text: string) => string) =>
    writeFileSync(join(world.dir, path), change(world.read(path)!));
  for (const [option, line] of Object.entries(lines))
    edit(BLOCK, (text) => {
      const there = new RegExp(`^ *${option} .*$`, 'm');
      assert.match(text, there);
      return text.replace(there, line);
    });
  edit(KEYS, keys);
  if (config !== undefined) edit('/etc/ssh/sshd_config', (text) => `${config}\n${text}`);
  if (also !== undefined) {
    const { code, stderr } = world.run(['sh', '-c', also]);
    assert.equal(code, 0, stderr);
  }
}

interface Audited {
  readonly code: number | null;
  readonly report: TunnelReport;
  readonly text: string;
}

/** As this administrator, or without one. */
function auditOf(world: ServerWorld, via: string | null): Audited {
  const home = join(world.dir, 'home');
  if (!existsSync(home)) {
    world.run(['mkdir', '-p', join(home, '.ssh')]);
    writeFileSync(
      join(home, '.ssh/config'),
      `Host server\n  IdentityFile ${world.dir}/admin_key\n  UserKnownHostsFile ${world.dir}/known_hosts\n`,
    );
  }
  const args = [
    '--yes',
    '--config',
    join(world.dir, 'config.yaml'),
    ...(via === null ? [] : ['--via', `${via}@server`]),
  ];
  const run = (...more: readonly string[]) =>
    world.run(['env', `HOME=${home}`, 'SSH_AUTH_SOCK=', process.execPath, ...PROGRAM, 'audit', ...args, ...more]);
  const { code, stdout, stderr } = run('--json');
  assert.notEqual(stdout, '', stderr);
  const [report] = (JSON.parse(stdout) as AuditDocument).tunnels;
  assert.equal(report?.failure, undefined, stdout);
  return { code, report: report!, text: via === null && report!.verdict === 'closed-as-tried' ? run().stdout : '' };
}
