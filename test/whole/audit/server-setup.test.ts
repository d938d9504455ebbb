import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditDocument } from '../../../src/audit/document.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { PROGRAM } from '../../support/tunneld.ts';
import { until } from '../../support/until.ts';
import { setUp, untilListening, USER } from '../server-setup/fixture.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';

const DROP_IN = `/etc/ssh/sshd_config.d/00-tunneld-${USER}.conf`;
const KEYS = `/etc/ssh/authorized_keys.d/${USER}`;

/** Each line that server-setup writes, said otherwise, with what the audit must find open then. */
const TRAPS: readonly {
  readonly name: string;
  readonly open: readonly string[];
  /** Of the Match block: the line that begins so becomes that. */
  readonly lines?: Readonly<Record<string, string>>;
  /** Of the key's line: what is put instead of its options. */
  readonly key?: string;
  readonly also?: string;
}[] = [
  { name: 'nothing', open: [] },
  {
    name: 'no forced command, and a user with a shell: restrict alone takes no command away',
    open: ['command', 'shell'],
    lines: { ForceCommand: '' },
    key: 'restrict,port-forwarding,permitopen="none.invalid:1"',
    also: `usermod --shell /bin/sh ${USER}`,
  },
  { name: 'PermitTTY', open: ['terminal'], lines: { PermitTTY: 'PermitTTY yes' }, key: 'restrict,port-forwarding,pty' },
  {
    name: 'AllowAgentForwarding',
    open: ['agent'],
    lines: { AllowAgentForwarding: 'AllowAgentForwarding yes' },
    key: 'restrict,port-forwarding,agent-forwarding',
  },
  {
    name: 'X11Forwarding',
    open: ['x11'],
    lines: { X11Forwarding: 'X11Forwarding yes' },
    key: 'restrict,port-forwarding,X11-forwarding',
    also: 'printf "XAuthLocation /bin/sh\\n" >>/etc/ssh/sshd_config',
  },
  {
    name: 'PermitOpen, AllowTcpForwarding: a key without permitopen connects anywhere',
    open: ['connect-server', 'connect-elsewhere'],
    lines: { PermitOpen: 'PermitOpen any', AllowTcpForwarding: 'AllowTcpForwarding yes' },
    key: 'restrict,port-forwarding,permitlisten="localhost:8080"',
  },
  {
    name: 'PermitListen, and a key without permitlisten',
    open: ['listen-port'],
    lines: { PermitListen: 'PermitListen localhost:*' },
    key: 'restrict,port-forwarding',
  },
  {
    name: 'AllowStreamLocalForwarding',
    open: ['listen-socket'],
    lines: { AllowStreamLocalForwarding: 'AllowStreamLocalForwarding remote' },
  },
  {
    name: 'AuthenticationMethods, where passwords are taken',
    open: ['password'],
    lines: { AuthenticationMethods: 'AuthenticationMethods any' },
  },
  {
    name: 'an empty password, and a server that takes it',
    open: ['no-credentials'],
    lines: { AuthenticationMethods: 'AuthenticationMethods any' },
    also: `passwd --delete ${USER}; printf "PermitEmptyPasswords yes\\n" >>/etc/ssh/sshd_config`,
  },
];

test('finds no hole when server-setup has set the server up, and finds each of its lines when it is opened', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    config: 'Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n',
  });
  await untilListening(world);
  await setUp(world);
  const [block, key, main] = [world.read(DROP_IN)!, world.read(KEYS)!, world.read('/etc/ssh/sshd_config')!];
  const shadow = world.read('/etc/shadow')!;
  for (const { name, open, lines = {}, key: options, also = ':' } of TRAPS) {
    await t.test(name, async () => {
      const changed = Object.entries(lines).reduce((text, [option, line]) => {
        const there = new RegExp(`^ *${option} .*$`, 'm');
        assert.match(text, there);
        return text.replace(there, line);
      }, block);
      write(world, DROP_IN, changed);
      write(world, KEYS, options === undefined ? key : key.replace(/^\S+/, options));
      await reload(world, also);
      assert.deepEqual(openOf(world), open);
      for (const [path, text] of [
        [DROP_IN, block],
        [KEYS, key],
        ['/etc/ssh/sshd_config', main],
        ['/etc/shadow', shadow],
      ] as const)
        write(world, path, text);
      await reload(world, `usermod --shell /usr/sbin/nologin ${USER}`);
    });
  }
  // Every line is among them, but those that close nothing.
  const opened = TRAPS.flatMap(({ lines = {} }) => Object.keys(lines));
  const written = [...block.matchAll(/^ +(\w+) /gm)].map(([, option]) => option!);
  assert.deepEqual(
    written.filter((option) => !opened.includes(option)),
    [
      'AllowUsers',
      'PubkeyAuthentication',
      'AuthorizedKeysFile',
      'AuthorizedKeysCommand',
      'TrustedUserCAKeys',
      'DisableForwarding',
      // via.test.ts opens these.
      'GatewayPorts',
      'PermitTunnel',
      'PermitUserRC',
      'AcceptEnv',
      'ClientAliveInterval',
      'ClientAliveCountMax',
    ],
  );
});

function openOf(world: ServerWorld): readonly string[] {
  const { stdout, stderr } = world.run([
    process.execPath,
    ...PROGRAM,
    'audit',
    '--json',
    '--yes',
    '--config',
    join(world.dir, 'config.yaml'),
  ]);
  assert.match(stderr, /leaves traces in the log/);
  const [report] = (JSON.parse(stdout) as AuditDocument).tunnels;
  assert.equal(report?.failure, undefined, stdout);
  return report!.findings.filter(({ verdict }) => verdict === 'open').map(({ hole }) => hole);
}

function write(world: ServerWorld, path: string, text: string): void {
  writeFileSync(join(world.dir, path), text);
}

async function reload(world: ServerWorld, also: string): Promise<void> {
  const started = () => readFileSync(join(world.dir, 'sshd.log'), 'utf8').match(/Server listening/g)?.length ?? 0;
  const before = started();
  world.run(['sh', '-c', `${also}; kill -HUP "$(cat /run/sshd.pid)"`]);
  await until(() => started() > before, { what: 'sshd with the new rules' });
  await untilListening(world);
}
