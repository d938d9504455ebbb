import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { adHocConfig, adHocName } from '../../src/config/command-line/ad-hoc.ts';
import type { Config } from '../../src/model/config.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../src/config/input/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { printConfig } from '../../src/config/print.ts';
import { ConfigError, formatProblem } from '../../src/config/input/problem.ts';
import { SSH_FLAGS } from '../../src/config/command-line/flags.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';

const home = mkdtempSync(join(tmpdir(), 'tunneld-home-'));
after(() => rmSync(home, { recursive: true }));
mkdirSync(join(home, '.ssh'), { mode: 0o700 });
// A key that is not there is nothing to ssh.
for (const key of ['id_relay', 'key', 'one', 'two']) writeFileSync(join(home, key), '');
const configFile = join(home, '.ssh/config');
writeFileSync(
  configFile,
  `Host home-with-tunnel
  Hostname 192.0.2.1
  RemoteForward 2222:localhost:22
  User me
Host home-with-space
  Hostname 192.0.2.1
  RemoteForward 2222 localhost:22
Host relay
  HostName relay.example
  ExitOnForwardFailure no
  UserKnownHostsFile ~/kh /etc/kh
  IdentityFile ~/.ssh/%h_key
  IdentitiesOnly yes
Host gate
  HostName gate.example
  Port 2200
  ProxyJump outer@first:2201
Host certified
  CertificateFile ~/cert.pub
  KexAlgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256
Match user special
  Port 99
`,
  { mode: 0o600 },
);

// Guides write a RemoteForward of ssh_config with a colon, which ssh itself refuses.
const configForSsh = join(home, 'for-ssh');
writeFileSync(configForSsh, readFileSync(configFile, 'utf8').replace('2222:localhost:22', '2222 localhost:22'));

const env: ConfigEnvironment = { ...systemEnvironment(), home, env: {}, directory: home };

/** What people have; the server is asked for nothing. */
const LINES: readonly (readonly string[])[] = [
  words('-o ServerAliveInterval=120 -o ServerAliveCountMax=3 -NR 8080:localhost:22 limited@something.dedyn.io -p 2222'),
  words(
    '-v -o ServerAliveInterval=120 -o ExitOnForwardFailure=yes -NR 8080:localhost:22 limited@something.dedyn.io -p 2222',
  ),
  words('-o IdentitiesOnly=yes -i id_relay -NTR 22221:localhost:22 relay@server'),
  words('-NR 22100:localhost:10000 -p 22000 user@server.cloud.com'),
  [
    '-NTC',
    '-o ServerAliveInterval=60',
    '-o ExitOnForwardFailure=yes',
    '-i',
    'key',
    '-R 12345:localhost:22',
    'remoteuser@servername',
  ],
  words('-L 9999:mailserver:110 shellserver'),
  words('home-with-tunnel'),
  words('home-with-space'),
  words('-R 1:localhost:1 relay'),
  words('-fNT -L 8080:localhost:80 -D1080 -R 9090 host'),
  words('-p2222 -luser -L8080:localhost:80 host'),
  words('host -p 2222 -l user -L 8080:localhost:80 -4'),
  words('-l first -o User=second -L 1:a:1 third@host'),
  words('third@host -l first -L 1:a:1'),
  words('-o Port=1 -p 2 -L 1:a:1 host'),
  words('-p 2 -o Port=1 -L 1:a:1 host'),
  words('-L 1:a:1 ssh://user@host:2200'),
  words('-p 3 -L 1:a:1 ssh://user@host.example:2200'),
  words('-L 1:a:1 -L 2:b:2 -R 3:c:3 -R 4:d:4 host'),
  words('-gL 1:a:1 host'),
  words('-g -L 127.0.0.1:1:a:1 -L *:2:a:2 -D 3 host'),
  words('-L [::1]:1:[2001:db8::2]:2 host'),
  words('-6 -o AddressFamily=inet -L 1:a:1 host'),
  words('-o AddressFamily=inet -L 1:a:1 host -6'),
  words('-o BindAddress=127.0.0.1 -b 127.0.0.2 -L 1:a:1 host'),
  words('-b 127.0.0.1 -b 127.0.0.2 -L 1:a:1 host'),
  words('-o Compression=no -L 1:a:1 host -C'),
  words('-C -o Compression=no -L 1:a:1 host'),
  words('-NL 1:a:1 host -- sleep 60'),
  words('-o Compression=no -L 1:a:1 host'),
  words('-b 192.0.2.9 -L 1:a:1 host'),
  words('-J me@near:2022,other -L 1:a:1 host'),
  words('-o ProxyJump=a -o ProxyCommand=b -L 1:a:1 host'),
  words('-o ProxyCommand=nc -o ProxyJump=a -L 1:a:1 host'),
  words('-i one -i two -o IdentityFile=three -L 1:a:1 host'),
  words('-R /run/server.sock:localhost:22 host'),
  words('-R 8080:/run/target.sock host'),
  words('-R 0:localhost:22 host'),
  ['-R', '/tmp/a b.sock:localhost:22', 'host'],
  words('-R *:8080:localhost:22 -R :8081:localhost:22 host'),
  words('-o ConnectTimeout=1m -o TCPKeepAlive=no -L 1:a:1 -- host'),
  words('-L 1:a:1 special@host'),
  words('-B lo -L 1:a:1 host'),
  words('-R 22:8080 -R *:8081 -R /run/proxy.sock host'),
  words('-l special -L 1:a:1 host'),
];

for (const line of LINES) {
  test(`means what it means to ssh: ${line.join(' ')}`, async () => {
    const config = await read(line);
    assert.deepEqual(spoken(config.tunnels[0]!), spokenBySsh(line));
  });
  test(`means the same when it is printed as a configuration: ${line.join(' ')}`, async () => {
    const config = await read(line);
    const again = await parseConfig(printConfig(config, env), '/elsewhere/config.yaml', {
      ...env,
      home,
      userName: 'other',
    });
    assert.deepEqual(again.tunnels, config.tunnels);
    assert.equal(again.log.level, config.log.level);
  });
}

test('keeps every key when it is printed', async () => {
  const yaml = `
tunnels:
  a:
    host: h
    remoteForward: [{ listen: '/run/a b.sock', target: 'localhost:1' }, '/run/x\\:y.sock:localhost:2', { listen: 0, target: socks }]
    localForward: 'run/l.sock:/s.sock'
    dynamicForward: '[::1]:1080'
    ciphers: aes128-ctr
    kexAlgorithms: -ecdh-*
    macs: hmac-sha2-256
    hostKeyAlgorithms: ssh-ed25519
    identityFile: none
    userKnownHostsFile: ['/a b', '/c']
    globalKnownHostsFile: none
    bindAddress: 192.0.2.1
    addressFamily: inet
    connectTimeout: 7
    tcpKeepAlive: no
    identitiesOnly: yes
    identityAgent: none
    passphraseFile: p
    passwordFile: q
    strictHostKeyChecking: accept-new
    hostKeyAlias: alias
    updateHostKeys: no
    serverAliveInterval: 0
    serverAliveCountMax: 9
    compression: yes
    sourcePort: any
    exitOnForwardFailure: no
    streamLocalBindUnlink: yes
    streamLocalBindMask: '0007'
    permitRemoteOpen: none
    channelTimeout: [direct-*=1m, global=1h]
    bindInterface: eth0
    preferredAuthentications: none
    pubkeyAcceptedAlgorithms: ssh-ed25519-cert-v01@openssh.com
    requiredRSASize: 2048
    revokedHostKeys: ['/a b']
    checkHostIP: yes
    rekeyLimit: default 1h
    proxy: socks5://m%40e@[::1]:99
    proxyPasswordFile: r
    proxyJump: [{ host: j, user: u, port: 3, identityFile: k }, l]
    reconnect: { min: 3, max: 99 }
  b: { host: h, proxyCommand: 'nc %h 100%%', remoteForward: '1:a:1', sshConfig: none }
`;
  const config = await parseConfig(yaml, '/etc/tunneld/config.yaml', env);
  const again = await parseConfig(printConfig(config, env), '/elsewhere.yaml', { ...env, userName: 'other' });
  assert.deepEqual(again.tunnels, config.tunnels);
  assert.equal(config.tunnels[1]?.entry.type === 'command' && config.tunnels[1].entry.command, 'nc h 100%');
});

test('reads a host of ssh_config when it is reached through another', async () => {
  const { tunnels } = await read(words('-J gate -L 1:a:1 inner'));
  assert.deepEqual(
    tunnels[0]?.jumps.map(({ host, port, user }) => [host, port, user]),
    [
      ['first', 2201, 'outer'],
      ['gate.example', 2200, env.userName],
    ],
  );
});

test('takes a password for one server, and the way there from one place, when several are named', async () => {
  const yaml = `
defaults: { passwordFile: /secret, user: shared, serverAliveInterval: 7 }
tunnels:
  a: { host: commanded, remoteForward: '1:a:1', proxyJump: j }
  b: { host: commanded, remoteForward: '2:a:1' }
`;
  writeFileSync(join(home, 'commanded'), 'Host commanded\n  ProxyCommand nc %h %p\n');
  const withFile = yaml.replaceAll('remoteForward:', 'sshConfig: commanded, remoteForward:');
  const { tunnels } = await parseConfig(withFile, join(home, 'c.yaml'), env);
  assert.equal(tunnels[0]?.passwordFile, '/secret');
  assert.deepEqual(tunnels[0].entry, { type: 'direct' });
  const [jump] = tunnels[0].jumps;
  assert.deepEqual([jump?.passwordFile, jump?.user, jump?.serverAliveIntervalMs], [null, 'shared', 7000]);
  assert.deepEqual(tunnels[1]?.entry, { type: 'command', command: 'nc commanded 22' });
});

test('takes for no mistake what ssh takes for a host or a limit', async () => {
  const { tunnels } = await read(words('-o ConnectTimeout=0 -o ServerAliveCountMax=0 -R 1:a:1 u@fe80::1%lo'));
  assert.equal(tunnels[0]?.host, 'fe80::1%lo');
  assert.equal(tunnels[0].connectTimeoutMs, 10_000);
  assert.equal(tunnels[0].serverAliveCountMax, 0);
});

test('expands the tokens of a jump with its own values', async () => {
  const { tunnels } = await read(words('-J %r@gw-%h:2200 -L 1:a:1 me@host'));
  assert.deepEqual([tunnels[0]?.jumps[0]?.user, tunnels[0]?.jumps[0]?.host], ['me', 'gw-host']);
});

test('takes keys of its own when they are given by -o', async () => {
  const { tunnels } = await read(
    words('-o PasswordFile=secret -o sourceport=any -o proxy=http://me@p:1 -o proxyPasswordFile=/s -L 1:a:1 h').concat(
      '-o',
      'reconnect={ min: 2, max: 9 }',
    ),
  );
  assert.equal(tunnels[0]?.passwordFile, join(home, 'secret'));
  assert.equal(tunnels[0].sourcePort, 'any');
  assert.deepEqual(tunnels[0].entry, { type: 'http', host: 'p', port: 1, user: 'me', passwordFile: '/s' });
  assert.deepEqual(tunnels[0].reconnect, { minMs: 2000, maxMs: 9000 });
});

test('logs more or less when -v or -q is given', async () => {
  for (const [flags, level] of Object.entries({
    '-N': 'info',
    '-v': 'debug',
    '-vv': 'trace',
    '-vvv': 'trace',
    '-q': 'error',
  })) {
    assert.equal((await read([flags, '-L', '1:a:1', 'h'])).log.level, level);
  }
});

test('says once what has no effect when an option is ignored', async () => {
  const { notes } = await read(
    words('-f -A -M 20000:3000 -M -t -o ControlMaster=auto -o Protocol=2 -S none -L 1:a:1 h sleep 60'),
    { AUTOSSH_POLL: '60', AUTOSSH_GATETIME: '0' },
  );
  assert.deepEqual(notes, [
    'the name of this tunnel is h: see `tunneld status h`',
    '-f has no effect: tunneld stays in the foreground, for a service manager to supervise',
    '-A has no effect: no shell is opened on the server',
    '-M of autossh has no effect: tunneld checks the connection itself, without monitoring ports',
    '-M has no effect: tunneld uses a connection of its own',
    '-t has no effect: no shell is opened on the server',
    '-o ControlMaster=auto has no effect on a tunnel',
    '-o Protocol=2 has no effect on a tunnel',
    '-S has no effect: tunneld uses a connection of its own',
    'the command "sleep 60" is not run: tunneld runs no commands on the server',
    'AUTOSSH_GATETIME, AUTOSSH_POLL: without effect, because tunneld checks the connection and retries by itself',
  ]);
});

test('names algorithms that only ssh knows when it leaves them out, and takes the certificate when a file names one', async () => {
  const { tunnels, notes } = await read(words('-m umac-64@openssh.com,hmac-sha2-256 -L 1:a:1 certified'));
  assert.deepEqual(tunnels[0]?.macs, ['hmac-sha2-256']);
  assert.deepEqual(tunnels[0].kexAlgorithms, ['sntrup761x25519-sha512@openssh.com', 'curve25519-sha256']);
  assert.match(notes.join('\n'), /umac-64@openssh\.com \(macs\): left out, because only OpenSSH has it/);
  assert.deepEqual(tunnels[0].certificateFiles, [join(home, 'cert.pub')]);
});

test('makes a SOCKS proxy when a forward has no target, as ssh does, with a warning', async () => {
  const { tunnels, warnings } = await read(words('-R 8080 -R 22:8081 -R 3:a:3 h'));
  assert.deepEqual(
    tunnels[0]?.forwards.map(({ listen, target }) => [address(listen), target.type]),
    [
      ['[localhost]:8080', 'socks'],
      ['[22]:8081', 'socks'],
      ['[localhost]:3', 'tcp'],
    ],
  );
  const proxy = 'a SOCKS proxy, through which its users reach whatever this device reaches';
  assert.deepEqual(warnings, [
    `-R 8080: a forward without a target is ${proxy}; unless that is intended, write 8080:localhost:22`,
    `-R 22:8081: a forward without a target is ${proxy}, and '22' is the address to listen on; unless that is intended, write 8022:localhost:8081 (sshd opens ports below 1024 for root only)`,
  ]);
  writeFileSync(join(home, 'proxies'), 'Host h\n  RemoteForward 8080\n');
  const file = await read(words(`-F ${join(home, 'proxies')} h`));
  assert.match(file.warnings.join(), /proxies:2: a forward without a target is a SOCKS proxy/);
});

test('honours an option when it restricts in ssh_config', async () => {
  writeFileSync(
    join(home, 'strict'),
    `Host h
  PermitRemoteOpen nas:443 [::1]:* *:ssh
  RevokedHostKeys "/etc/a b" %d/revoked
  PubkeyAuthentication no
  PubkeyAcceptedKeyTypes ssh-ed25519-cert-v01@openssh.com,rsa-sha2-*
  RSAMinSize 2048
  BindInterface eth0
  StreamLocalBindMask 0117
  NumberOfPasswordPrompts 1
  PreferredAuthentications gssapi-with-mic,keyboard-interactive,publickey,password
  ChallengeResponseAuthentication yes
  CheckHostIP yes
  RekeyLimit 1G 1h
  ChannelTimeout forwarded-tcpip=5m session=1s
`,
  );
  const { tunnels, notes } = await read(words(`-F ${join(home, 'strict')} -R 1:a:1 -P x h`));
  const [spec] = tunnels;
  assert.deepEqual(spec?.permitRemoteOpen, ['nas:443', '[::1]:*', '*:22']);
  assert.deepEqual(spec.revokedHostKeys, ['/etc/a b', join(home, 'revoked')]);
  assert.deepEqual(spec.authentications, ['keyboard-interactive', 'password']);
  assert.deepEqual(spec.pubkeyAcceptedAlgorithms, [
    'ssh-ed25519-cert-v01@openssh.com',
    'rsa-sha2-512-cert-v01@openssh.com',
    'rsa-sha2-512',
    'rsa-sha2-256-cert-v01@openssh.com',
    'rsa-sha2-256',
  ]);
  assert.deepEqual([spec.requiredRSASize, spec.bindInterface, spec.streamLocalBindMask], [2048, 'eth0', 0o117]);
  assert.equal(spec.checkHostIP, true);
  assert.deepEqual(spec.rekeyLimit, { bytes: 1024 ** 3, ms: 3_600_000 });
  assert.deepEqual(spec.channelTimeout, [
    { type: 'forwarded-tcpip', ms: 300_000 },
    { type: 'session', ms: 1000 },
  ]);
  assert.deepEqual(notes, ['the name of this tunnel is h: see `tunneld status h`']);
  const silent = await read(words('-o NumberOfPasswordPrompts=0 -o PubkeyAuthentication=no -B eth1 -R 1:a:1 h'));
  assert.deepEqual([silent.tunnels[0]?.authentications, silent.tunnels[0]?.bindInterface], [[], 'eth1']);
});

test('refuses with its line what cannot be honoured', async () => {
  const lines = {
    'RefuseConnection "use the other one"': /RefuseConnection: use the other one$/,
    'KnownHostsCommand /bin/keys %H': /KnownHostsCommand is never run/,
    'KbdInteractiveDevices pam': /KbdInteractiveDevices is not supported/,
    'ProxyUseFdpass yes': /ProxyUseFdpass is not supported/,
  };
  for (const [line, expected] of Object.entries(lines)) {
    writeFileSync(join(home, 'refused'), `Host h\n  ${line}\nHost other\n  ${line}\n`);
    await assert.rejects(read(words(`-F ${join(home, 'refused')} -R 1:a:1 h`)), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.equal(error.problems.length, 1);
      assert.match(error.message, /refused:2:3: /);
      assert.match(error.message, expected);
      return true;
    });
  }
  const { notes } = await read(words('-o KnownHostsCommand=none -o ProxyUseFdpass=no -R 1:a:1 h'));
  assert.equal(notes.length, 1);
});

const WRONG: Readonly<Record<string, RegExp>> = {
  '-o RefuseConnection=no -L 1:a:1 h': /^-o RefuseConnection=no: RefuseConnection: no$/,
  '-o KnownHostsCommand=x -L 1:a:1 h': /^-o KnownHostsCommand=x: KnownHostsCommand is never run/,
  '-o PermitRemoteOpen=a -L 1:a:1 h': /^-o PermitRemoteOpen=a: permitRemoteOpen must be destinations such as/,
  '-o StreamLocalBindMask=888 -L 1:a:1 h': /^-o StreamLocalBindMask=888: streamLocalBindMask must be an octal mask/,
  '': /^tunneld run: has no destination/,
  host: /^tunneld run: has no forward/,
  '-p 99999 -L 1:a:1 h': /^-p 99999: port must be a whole number/,
  '-p': /^-p: needs an argument/,
  '-L 1:a:1 ': /^'': is no destination: the argument is empty/,
  '-z h': /^-z: is not an option of ssh/,
  '--frobnicate h': /^--frobnicate: is not an option of tunneld run/,
  '-W a:1 h': /^-W: cannot be used: standard input and output are not forwarded/,
  '-w 0 h': /^-w: cannot be used/,
  '-O exit h': /^-O: cannot be used/,
  '-o NoSuchThing=1 -L 1:a:1 h': /^-o NoSuchThing=1: NoSuchThing is not a known key/,
  '-o Port -L 1:a:1 h': /^-o Port: /,
  '-o Host=x -L 1:a:1 h': /is for files only/,
  '-L 1:a h': /^-L 1:a: localForward must be a forward such as/,
  '-L 8080 h': /^-L 8080: localForward has no target/,
  '-L 0:a:1 h': /a port from 1 to 65535/,
  '-R 70000:a:1 h': /^-R 70000:a:1: remoteForward has '70000'/,
  '-D a:b:1 h': /^-D a:b:1: dynamicForward must be the port of a SOCKS proxy/,
  '-L 8080:a:1 -L 8080:b:2 h':
    /^tunneld run: a forward listens on localhost:8080, the same listener as another forward/,
  '-L 8080:a:1 -D *:8080 h': /^tunneld run: a forward listens on \*:8080, the same listener as another forward/,
  '-o HostName=%q -L 1:a:1 h': /^-o HostName=%q: HostName uses the unknown token %q[^\n]*$/,
  '-J a -J b -L 1:a:1 h': /^-J b: -J may be given only once/,
  '-J :1 -L 1:a:1 h': /^-J :1: proxyJump must be a server such as user@host:22/,
  '-J a:99999 -L 1:a:1 h': /^-J a:99999: proxyJump has the port 99999: a port is a number from 1 to 65535$/,
  '-c rot13 -L 1:a:1 h': /^-c rot13: ciphers has the unknown cipher 'rot13'; known are /,
  '-o proxy=http://u:hunter2@p -L 1:a:1 h': /^-o proxy: proxy must not contain a password/,
  '-o proxy=ftp://p -L 1:a:1 h': /^-o proxy: proxy must begin with http:\/\/ or socks5:\/\//,
  '-o proxyCommand=nc -o proxy=http://p -L 1:a:1 h': /cannot be combined with proxy/,
  '-F /no/such -L 1:a:1 h': /^\/no\/such:1:1: no such file/,
  '-L 1:a:1 ssh://': /must be a server/,
  '-L 1:a:1 h:22': /must be a host only: set the port/,
  '-o StrictHostKeyChecking=perhaps -L 1:a:1 h':
    /^-o StrictHostKeyChecking=perhaps: strictHostKeyChecking must be one of/,
};

for (const [line, expected] of Object.entries(WRONG)) {
  test(`refuses: ${line}`, async () => {
    await assert.rejects(read(words(line)), (error) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.match(error.problems.map(formatProblem).join('\n'), expected);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    });
  });
}

test('names a tunnel after its host when no name is given', () => {
  assert.equal(adHocName(words('-L 1:a:1 me@Some.Host.example')), 'some-host-example');
  assert.equal(adHocName(words('ssh://me@[2001:db8::1]:22')), '2001-db8-1');
  assert.equal(adHocName([]), 'tunnel');
  assert.equal(adHocName(['../../etc']), 'etc');
});

test('knows every option of ssh', () => {
  const usage = spawnSync('ssh', [], { encoding: 'utf8' }).stderr;
  const letters = new Set(
    [...usage.matchAll(/\[-([A-Za-z0-9]+)/g)].flatMap(([, cluster = '']) =>
      cluster.length > 1 && !/^[A-Z][a-z]/.test(cluster) ? [...cluster] : [cluster[0]!],
    ),
  );
  assert.ok(letters.size > 30);
  assert.deepEqual(
    [...letters].filter((letter) => !(letter in SSH_FLAGS)),
    [],
  );
});

function words(text: string): string[] {
  return text === '' ? [] : text.split(' ');
}

function read(argv: readonly string[], variables: Readonly<Record<string, string>> = {}): Promise<Config> {
  return adHocConfig(argv, adHocName(argv), { ...env, env: variables });
}

/** In the words of `ssh -G`, what both must agree on. */
function spoken(spec: TunnelSpec): Record<string, unknown> {
  const of = (kind: string) =>
    spec.forwards
      .filter((forward) => forward.kind === kind)
      .map(({ listen, target }) => [address(listen), target.type === 'socks' ? 'socks' : address(target)].join(' '));
  const [jump] = spec.jumps;
  return {
    hostname: spec.host,
    user: spec.user,
    port: spec.port,
    addressfamily: spec.addressFamily,
    bindaddress: spec.bindAddress,
    bindinterface: spec.bindInterface,
    compression: spec.compression,
    tcpkeepalive: spec.tcpKeepAlive,
    identitiesonly: spec.identitiesOnly,
    identityfile: spec.identityFilesConfigured ? spec.identityFiles : 'default',
    localforward: of('local'),
    dynamicforward: of('dynamic'),
    remoteforward: of('remote'),
    proxyjump: spec.jumps.length === 0 ? null : [jump?.user, jump?.host, jump?.port, spec.jumps.length],
    proxycommand: spec.entry.type === 'command' ? spec.entry.command : null,
  };
}

function spokenBySsh(line: readonly string[]): Record<string, unknown> {
  const asked = spawnSync('ssh', ['-G', '-F', configForSsh, ...line], {
    encoding: 'utf8',
    cwd: home,
    env: { ...process.env, HOME: home, SSH_AUTH_SOCK: '' },
  });
  assert.equal(asked.status, 0, asked.stderr);
  const lines = asked.stdout.split('\n').map((text) => /^(\S+) ?(.*)$/.exec(text) ?? []);
  const all = (key: string) => lines.filter(([, name]) => name === key).map(([, , value = '']) => value);
  const one = (key: string) => all(key)[0] ?? null;
  const yes = (key: string) => one(key) === 'yes' || one(key) === 'true';
  const gateway = yes('gatewayports');
  const files = all('identityfile');
  const isDefault = files.length === 0 || files.includes('~/.ssh/id_dsa') || files.includes('~/.ssh/id_ecdsa');
  const hops = one('proxyjump')?.split(',') ?? [];
  const [, user = env.userName, host, port = '22'] = /^(?:(.*)@)?([^:]*)(?::(\d+))?$/.exec(hops[0] ?? '') ?? [];
  return {
    hostname: one('hostname'),
    user: one('user'),
    port: Number(one('port')),
    addressfamily: one('addressfamily'),
    bindaddress: one('bindaddress'),
    bindinterface: one('bindinterface'),
    compression: yes('compression'),
    tcpkeepalive: yes('tcpkeepalive'),
    identitiesonly: yes('identitiesonly'),
    identityfile: isDefault ? 'default' : files.map((file) => expand(file, one('hostname') ?? '')),
    localforward: all('localforward').map((text) => here(text, gateway)),
    dynamicforward: all('dynamicforward').map((text) => `${here(text, gateway)} socks`),
    remoteforward: all('remoteforward').map((text) => there(text)),
    proxyjump: host === undefined || hops.length === 0 ? null : [user, host, Number(port), hops.length],
    proxycommand: one('proxycommand'),
  };
}

function expand(file: string, host: string): string {
  const path = file.replace('%h', host);
  return path.startsWith('~/') ? join(home, path.slice(2)) : join(home, path);
}

function address(endpoint: Endpoint): string {
  return endpoint.type === 'unix' ? endpoint.path : `[${endpoint.host}]:${endpoint.port}`;
}

/** ssh prints no address where none was given. */
function here(text: string, gateway: boolean): string {
  return text.replace(/^(\d+)(?= |$)/, gateway ? '[]:$1' : '[localhost]:$1').replace('[*]', '[]');
}

function there(text: string): string {
  return text
    .replace(/^(\d+) /, '[localhost]:$1 ')
    .replace('[*]', '[]')
    .replace(/\[socks\]:0$/, 'socks');
}

test('turns UpdateHostKeys off when ssh does: with another known_hosts than the usual one, or DNS', async () => {
  const cases: readonly (readonly [readonly string[], boolean])[] = [
    [[], true],
    [['UserKnownHostsFile=~/.ssh/known_hosts'], true],
    [['UserKnownHostsFile=~/.ssh/other'], false],
    [['UserKnownHostsFile=~/.ssh/known_hosts ~/.ssh/known_hosts2'], false],
    [['UserKnownHostsFile=~/.ssh/other', 'UpdateHostKeys=yes'], true],
    [['VerifyHostKeyDNS=yes'], false],
  ];
  for (const [options, wanted] of cases) {
    const flags = options.flatMap((option) => ['-o', option]);
    const [tunnel] = (await read(['-F', 'none', ...flags, '-R', '1:localhost:2', 'server'])).tunnels;
    assert.equal(tunnel?.updateHostKeys, wanted, options.join(' '));
    const ssh = execFileSync('ssh', ['-G', '-F', 'none', ...flags, 'server'], { encoding: 'utf8' });
    assert.match(ssh, wanted ? /^updatehostkeys true$/m : /^updatehostkeys false$/m, options.join(' '));
  }
});
