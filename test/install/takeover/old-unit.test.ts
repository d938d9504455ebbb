import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifyUnit } from '../../../src/install/takeover/existing-unit.ts';
import { oldCommand, type UnitContext } from '../../../src/install/takeover/old-unit.ts';
import { withChecksum } from '../../../src/install/systemd/checksum.ts';
import { shellCommands } from '../../../src/install/takeover/shell-script.ts';
import { systemUnit, USUAL_UNIT } from '../../../src/install/systemd/unit-file.ts';
import { readUnit, splitWords } from '../../../src/install/takeover/unit-text.ts';

const FILES: Readonly<Record<string, string>> = {
  '/usr/local/bin/tunnel.sh':
    '#!/bin/bash\nPORT=8080\nuntil false; do\n  ssh -N -R $PORT:localhost:22 "$1" >>/var/log/x 2>&1\ndone\n',
  '/usr/local/bin/odd.sh': '#!/bin/sh\nrsync -a /srv backup:\nssh -N server\n',
  '/etc/default/tunnel': '# ports\nPORT=8080\nOPTS="-N -T"\n',
  '/etc/default/odd': '# a comment \\\nOPTS=-N\n',
  '/etc/default/long': 'OPTS=-N \\\n  -R 8080:localhost:22 \\\n  -R 8081:localhost:80\n',
};

const around: UnitContext = {
  hostname: 'pi',
  readText: (path) => {
    if (path === '/etc/default/closed') throw new Error('EACCES: permission denied');
    return FILES[path] ?? null;
  },
  homeOf: (user) => (user === 'pi' ? '/home/pi' : null),
  inherited: new Set(['PATH']),
};

function command(...lines: readonly string[]) {
  return oldCommand(['[Service]', ...lines].join('\n'), around);
}

function whyNot(...lines: readonly string[]): string {
  const found = command(...lines);
  return typeof found === 'string' ? found : '';
}

test('finds ssh and autossh behind everything that people put before them', () => {
  const args = ['-N', '-R', '8080:localhost:22', 'me@server'];
  const forms: readonly (readonly string[])[] = [
    ['ExecStart=/usr/bin/ssh -N -R 8080:localhost:22 me@server'],
    ['ExecStart=-/usr/bin/ssh -N -R 8080:localhost:22 me@server'],
    ['ExecStart=@/usr/bin/ssh tunnel -N -R 8080:localhost:22 me@server'],
    ['ExecStart=/usr/bin/ssh -N \\', '  # a comment within', '  -R 8080:localhost:22 me@server'],
    ['ExecStart=/bin/false', 'ExecStart=', 'ExecStart=ssh "-N" -R 8080:localhost:22 "me@server"'],
    ['Environment=PORT=8080', 'ExecStart=/usr/bin/ssh -N -R ${PORT}:localhost:22 me@server'],
    ['EnvironmentFile=-/etc/default/tunnel', 'ExecStart=/usr/bin/ssh -N -R ${PORT}:localhost:22 me@server'],
    ["ExecStart=/bin/sh -c 'exec ssh -N -R 8080:localhost:22 me@server'"],
    ['ExecStart=/bin/bash -lc \'PORT=1 /usr/bin/env A=b ssh -N -R 8080:localhost:22 "me@server"\''],
    ['Environment=PORT=8080', "ExecStart=/bin/sh -c 'ssh -N -R $$PORT:localhost:22 me@server'"],
    ["ExecStart=/bin/bash -c 'while true; do ssh -N -R 8080:localhost:22 me@server; sleep 5; done'"],
    ["ExecStart=/bin/sh -c 'sleep 10 && ssh -N -R 8080:localhost:22 me@server || echo lost'"],
    ['ExecStart=/usr/bin/sudo -u root -H nohup ssh -N -R 8080:localhost:22 me@server'],
    ['ExecStart=/usr/local/bin/tunnel.sh me@server'],
  ];
  for (const lines of forms) {
    const found = command(...lines);
    assert.ok(typeof found !== 'string', `${lines.join('|')}: ${JSON.stringify(found)}`);
    assert.deepEqual([found.program, found.args, found.user], ['ssh', args, 'root'], lines.join('|'));
  }
});

test("reads whose it is, where it runs, and autossh's variables", () => {
  const found = command(
    'User=pi',
    'WorkingDirectory=~',
    'Environment="AUTOSSH_GATETIME=0" AUTOSSH_PORT=0',
    'ExecStart=/usr/lib/autossh/autossh -M 0 $OPTS -i %h/key host-%H',
  );
  assert.ok(typeof found !== 'string');
  assert.deepEqual([found.program, found.user, found.directory], ['autossh', 'pi', '/home/pi']);
  assert.deepEqual(found.args, ['-M', '0', '-i', '/root/key', 'host-pi']);
  assert.equal(found.environment['AUTOSSH_GATETIME'], '0');
  assert.equal(found.environment['AUTOSSH_PORT'], '0');
});

test('makes several words of a variable when it is a word of its own', () => {
  const found = command('EnvironmentFile=/etc/default/tunnel', 'ExecStart=/usr/bin/ssh $OPTS server');
  assert.deepEqual(typeof found === 'string' ? found : found.args, ['-N', '-T', 'server']);
});

test('takes a command line literally when it has no substitution', () => {
  const found = command('Environment=PORT=8080', 'ExecStart=:/usr/bin/ssh -R ${PORT}:localhost:22 server');
  assert.deepEqual(typeof found === 'string' ? found : found.args, ['-R', '${PORT}:localhost:22', 'server']);
});

test('leaves a unit alone when it cannot be known without running it', () => {
  for (const [line, why] of [
    ["ExecStart=/bin/sh -c 'ssh $(cat host)'", /uses the output of another command/],
    ["ExecStart=/bin/sh -c 'ssh `cat host`'", /uses the output of another command/],
    ["ExecStart=/bin/sh -c 'ssh $$UNKNOWN'", /uses the variable UNKNOWN/],
    ["ExecStart=/bin/sh -c 'ssh *.example'", /uses a pattern of file names/],
    ["ExecStart=/bin/sh -c 'for h in a b; do ssh $h; done'", /has a loop over a list/],
    ["ExecStart=/bin/sh -c 'if test -e /x; then ssh a; else ssh b; fi'", /which ssh it runs depends on a condition/],
    ["ExecStart=/bin/sh -c 'f() { ssh a; }; f'", /has functions/],
    ['ExecStart=/usr/local/bin/odd.sh', /it runs rsync besides/],
    ["ExecStart=/bin/sh -c 'ssh a; ssh b'", /several ssh commands/],
    ['ExecStart=/usr/bin/sshpass ssh server', /sshpass reads its password from where it cannot be seen/],
    ['ExecStart=/bin/sh /usr/local/bin/missing.sh', /not just ssh or autossh/],
    ['ExecStart=/usr/bin/openvpn x', /not just ssh or autossh/],
  ] as const)
    assert.match(whyNot(line), why, line);
  assert.match(whyNot('ExecStart=/usr/bin/ssh %i'), /uses %i, which tunneld does not know: ExecStart=/);
  assert.match(whyNot('ExecStart=/usr/bin/ssh "server'), /an unclosed quote/);
  assert.match(whyNot('Type=oneshot', 'ExecStart=/bin/a', 'ExecStart=/bin/b'), /several ExecStart/);
  assert.match(whyNot('Type=oneshot'), /no ExecStart/);
});

test('says what the unit says and the service does not do, and nothing of what it does itself', () => {
  const found = command(
    'Type=simple',
    'Restart=always',
    'ProtectSystem=full',
    'ExecStartPre=/bin/sleep 30',
    'Group=tunnels',
    'ExecStart=/usr/bin/ssh server',
    '[Unit]',
    'After=network-online.target',
    'BindsTo=wg0.service',
  );
  assert.deepEqual(typeof found === 'string' ? found : found.droppedSettings, [
    'not taken over from the old unit: ExecStartPre=/bin/sleep 30',
    'not taken over from the old unit: Group=tunnels',
    'not taken over from the old unit: BindsTo=wg0.service',
  ]);
});

test('takes nothing over when a unit cannot be read completely', () => {
  const ssh = 'ExecStart=/usr/bin/ssh ${OPTS} server';
  for (const [line, why] of [
    ['PrivateNetwork=yes', /its PrivateNetwork=yes changes what the command sees/],
    ['IPAddressDeny=any', /IPAddressDeny=any changes what the command sees or reaches/],
    ['RestrictNetworkInterfaces=eth0', /RestrictNetworkInterfaces/],
    ['NetworkNamespacePath=/run/netns/vpn', /NetworkNamespacePath/],
    ['LoadCredential=key:/etc/key', /LoadCredential/],
    ['RootDirectory=/srv/jail', /RootDirectory/],
    ['DynamicUser=yes', /DynamicUser/],
    ['PassEnvironment=OPTS', /PassEnvironment/],
    ['Environment="OPTS=-N', /its Environment cannot be read/],
    ['Environment=OPTS=%i', /uses %i, which tunneld does not know: Environment=/],
    ['User=%i', /uses %i, which tunneld does not know: User=/],
    ['EnvironmentFile=/etc/default/missing', /its EnvironmentFile \/etc\/default\/missing does not exist/],
    ['EnvironmentFile=/etc/default/*', /names several files/],
    ['EnvironmentFile=/etc/default/odd', /a comment ends with a backslash/],
    ['EnvironmentFile=/etc/default/closed', /cannot be read: EACCES/],
  ] as const)
    assert.match(whyNot(line, ssh), why, line);
  assert.match(
    whyNot('ExecStart=/usr/bin/ssh -R ${PATH}:a:1 server'),
    /the variable PATH, which the unit does not set/,
  );
  assert.match(whyNot('ExecStart=/bin/echo a ; /usr/bin/ssh server'), /several commands/);
  assert.match(whyNot(String.raw`ExecStart=/usr/bin/ssh \q server`), /an unknown escape/);
  assert.equal(typeof command('PrivateNetwork=no', 'EnvironmentFile=-/etc/default/missing', ssh), 'object');
});

test('prefers EnvironmentFile to Environment, and joins its lines when they go on', () => {
  const found = command(
    'EnvironmentFile=/etc/default/long',
    'Environment=OPTS=-N',
    'ExecStart=/usr/bin/ssh $OPTS server',
  );
  const args = ['-N', '-R', '8080:localhost:22', '-R', '8081:localhost:80', 'server'];
  assert.deepEqual(typeof found === 'string' ? found : found.args, args);
});

test('splits words as systemd and as sh split them', () => {
  assert.deepEqual(splitWords(String.raw`a "b c" 'd "e"' f\x20g \"h ""`), ['a', 'b c', 'd "e"', 'f g', '"h', '']);
  assert.equal(splitWords('a "b'), null);
  const words = String.raw`a 'b $X' "c $X" d\ e "f\"g" ~/k $X`;
  const around = { environment: { X: '1 2', HOME: '/h' }, directory: '/', readText: () => null };
  assert.deepEqual(shellCommands(words, around)[0]!.words, ['a', 'b $X', 'c 1 2', 'd e', 'f"g', '/h/k', '1', '2']);
  assert.deepEqual(readUnit('[A]\nk = 1\nk=2\n[B]\nk=\n;k=3\n').get('A.k'), ['1', '2']);
  // In a time that grows with the file, and not with its square.
  assert.equal(readUnit(`[A]\n${'k=1\n'.repeat(300_000)}`).get('A.k')?.length, 300_000);
});

test('tells a unit of ours from an edited one, one of a package, a foreign one, and none', () => {
  const plain = systemUnit(USUAL_UNIT);
  const sealed = withChecksum(plain, 'x');
  const loaded = { load: 'loaded', fragment: '/etc/systemd/system/tunnel.service' };
  const packaged = '/usr/lib/systemd/system/tunnel.service';
  const kind = (own: string | null, text = own ?? '', state = loaded) =>
    classifyUnit(own, text, state, packaged, around).type;
  assert.equal(kind(sealed), 'ours');
  assert.equal(kind(plain), 'ours');
  assert.equal(kind(plain.replaceAll('/usr/local/bin/tunneld', '/opt/tunneld')), 'ours');
  assert.equal(kind(plain.replace('WatchdogSec=60', 'WatchdogSec=10')), 'edited');
  assert.equal(kind(sealed.replace('WatchdogSec=60', 'WatchdogSec=10')), 'edited');
  assert.equal(kind('[Service]\nExecStart=/usr/bin/node /x/cli.js run\n'), 'edited');
  assert.equal(kind('[Service]\nExecStart=/usr/bin/ssh a\n'), 'ssh');
  assert.equal(kind('[Service]\nExecStart=/usr/bin/vpn a\n'), 'foreign');
  assert.equal(kind('[Service]\nExecStart=/usr/bin/ssh a\n', '', { load: 'not-found', fragment: '' }), 'ssh');
  assert.equal(kind(null, '', { load: 'not-found', fragment: '' }), 'none');
  assert.equal(kind(null, ''), 'none');
  assert.equal(kind(null, plain, { load: 'loaded', fragment: packaged }), 'packaged');
});
