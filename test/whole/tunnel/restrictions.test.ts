import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { atOnce } from '../../../src/lib/async/slices.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import { idleWatches } from '../../../src/forwarding/visitors/channel-timeout.ts';
import { prepareHostKeyVerifier } from '../../../src/connection/known-hosts/host-key-verifier.ts';
import { rsaBits } from '../../../src/connection/known-hosts/key-blob.ts';
import { parseKrl } from '../../../src/connection/known-hosts/krl.ts';
import { localAddress } from '../../../src/net/local-address.ts';
import { permitsOpen } from '../../../src/forwarding/visitors/permit-open.ts';
import type { ForwardSpec, TunnelSpec } from '../../../src/model/spec.ts';
import { startEcho } from '../../support/echo.ts';
import { writeRsaKey } from '../../support/rsa-key.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { socks } from '../../support/socks-client.ts';

/** What ssh_config(5) lets people take away, against a real sshd, and beside ssh itself where that shows the same. */

test('lets visitors of a remote SOCKS proxy reach what PermitRemoteOpen permits, and nothing else', async (t) => {
  const sshd = await server(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const forwards: ForwardSpec[] = [
    { kind: 'remote', listen: { type: 'tcp', host: 'localhost', port }, target: { type: 'socks' } },
  ];
  const permitRemoteOpen = [`127.0.0.1:${echo.port}`];
  const tunnel = startTunnel(t, { ...specFor(sshd, [[1, 1]], { forwards }), permitRemoteOpen });
  await tunnel.untilPhase('up');
  const granted = await socks(port, 5, '127.0.0.1', echo.port);
  assert.equal(granted.code, 0);
  granted.socket.end('hello');
  assert.equal(await text(granted.socket), 'hello');
  for (const [version, host, forbidden] of [
    [5, 'localhost', 2],
    [4, 'localhost', 91],
  ] as const) {
    const { code, socket } = await socks(port, version, host, echo.port);
    assert.equal(code, forbidden, 'a name is not looked up, not even for what is permitted');
    socket.destroy();
  }
  await until(() => tunnel.state().forwards[0]?.counters.refusedConnections === 2, { what: 'both to be counted' });
  assert.ok(tunnel.lines.some(({ msg, code }) => code === 'forward-refused' && /permitRemoteOpen/.test(String(msg))));
});

test('reads hosts, ports and * when PermitRemoteOpen has them', () => {
  const permitted = ['a:1', '*:2', 'b:*', '[::1]:3'];
  const asked = [
    ['a', 1, true],
    ['a', 2, true],
    ['a', 3, false],
    ['A', 1, false],
    ['b', 9, true],
    ['::1', 3, true],
    ['::1', 4, false],
    ['*', 5, false],
  ] as const;
  for (const [host, port, expected] of asked)
    assert.equal(permitsOpen(permitted, { host, port }), expected, `${host} ${port}`);
  assert.equal(permitsOpen([], { host: 'a', port: 1 }), false);
  assert.equal(permitsOpen(null, { host: 'a', port: 1 }), true);
});

test('takes lists, key revocation lists and unreadable files as ssh does when RevokedHostKeys names them', async (t) => {
  const sshd = await server(t);
  const [{ publicKey, file } = assert.fail()] = sshd.hostKeys;
  const other = join(sshd.dir, 'other');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other]);
  const write = (name: string, content: string) => {
    writeFileSync(join(sshd.dir, name), content);
    return join(sshd.dir, name);
  };
  const krl = (name: string, ...specs: string[]) => {
    execFileSync('ssh-keygen', ['-q', '-k', '-f', join(sshd.dir, name), ...specs]);
    return join(sshd.dir, name);
  };
  const hashed = (key: string, kind: string) => write(`spec-${kind}`, `${kind}: ${key}\n`);
  const cutShort = krl('whole', `${file}.pub`);
  const cases: readonly (readonly [string, string, RegExp | null])[] = [
    ['a list', write('list', `# ours\n\n  ${publicKey} comment\n`), /list revokes/],
    ['a list without it', write('list-of-others', readFileSync(`${other}.pub`, 'utf8')), null],
    ['an empty list', write('empty', ''), null],
    ['a line that is no key', write('broken', 'ssh-ed25519 AAAA\n'), /no public key \(type and base64\) in line 1/],
    ['no file', join(sshd.dir, 'missing'), /counts as revoked, as all do, while .*missing cannot be read: ENOENT/],
    ['a key revocation list', krl('krl', `${file}.pub`), /krl revokes/],
    ['one of others', krl('krl-of-others', `${other}.pub`), null],
    ['one of digests', krl('krl-sha1', hashed(publicKey, 'sha1')), /krl-sha1 revokes/],
    ['one of longer digests', krl('krl-sha256', hashed(publicKey, 'sha256')), /krl-sha256 revokes/],
    ['one that is cut short', write('cut', ''), /truncated or damaged/],
  ];
  writeFileSync(join(sshd.dir, 'cut'), readFileSync(cutShort).subarray(0, -3));
  const spec = specFor(sshd, [[1, 1]]);
  const key = Buffer.from(publicKey.split(' ')[1] ?? '', 'base64');
  for (const [name, path, expected] of cases) {
    const judge = await prepareHostKeyVerifier({ ...spec, revokedHostKeys: [path] }, silent);
    const failure = judge.verify(key);
    assert.equal(failure?.code ?? null, expected === null ? null : 'host-key-revoked', name);
    if (expected !== null) assert.match(failure?.message ?? '', expected);
    assert.equal(judge.trusted(), expected === null);
    assert.equal(ssh(sshd, `RevokedHostKeys=${path}`), expected === null, `ssh: ${name}`);
  }
  const tunnel = startTunnel(t, {
    ...spec,
    revokedHostKeys: ['/dev/null', join(sshd.dir, 'krl')],
    strictHostKeyChecking: 'no',
  });
  await tunnel.untilFailure('host-key-revoked');
  assert.equal(tunnel.state().phase, 'blocked');
  rmSync(join(sshd.dir, 'krl'));
});

test('refuses every key when the list of RevokedHostKeys is not understood', () => {
  const head = Buffer.concat([Buffer.from('SSHKRL\n\0'), uint32(1), Buffer.alloc(24), uint32(0), uint32(0)]);
  const section = (type: number, data: Buffer) => Buffer.concat([head, Buffer.of(type), uint32(data.length), data]);
  const parse = (bytes: Buffer) => atOnce(parseKrl(bytes));
  const extension = (critical: number) => Buffer.concat([uint32(1), Buffer.from('x'), Buffer.of(critical), uint32(0)]);
  const ofAll = (type: number, data: Buffer) =>
    Buffer.concat([uint32(0), uint32(0), Buffer.of(type), uint32(data.length), data]);
  assert.equal(parse(head).blobs.size, 0);
  assert.throws(() => parse(section(1, Buffer.from('certificates'))), /damaged/);
  assert.throws(() => parse(section(1, ofAll(0x24, Buffer.alloc(8)))), /about certificates of the unknown type 36/);
  assert.throws(() => parse(section(1, ofAll(0x20, Buffer.alloc(9)))), /damaged/);
  assert.throws(() => parse(section(1, ofAll(0x21, Buffer.alloc(17)))), /damaged/);
  assert.throws(() => parse(section(1, ofAll(0x39, extension(1)))), /critical extension/);
  assert.throws(() => parse(section(5, Buffer.concat([uint32(4), Buffer.alloc(4)]))), /digest of 4 bytes/);
  assert.equal(parse(section(255, extension(0))).blobs.size, 0);
  assert.throws(() => parse(section(255, extension(1))), /critical extension/);
  assert.equal(parse(Buffer.concat([section(4, Buffer.alloc(0)), uint32(0)])).blobs.size, 0);
  assert.throws(() => parse(section(9, Buffer.alloc(0))), /unknown type 9/);
  assert.throws(() => parse(section(2, uint32(99))), /truncated/);
  assert.throws(() => parse(Buffer.concat([head.subarray(0, 8), uint32(2)])), /unknown format 2/);
});

test('takes neither a short key of the server nor one of ours when RequiredRSASize forbids it', async (t) => {
  const sshd = await server(t, { hostKeyTypes: ['rsa'] });
  const short = join(sshd.dir, 'short');
  writeRsaKey(short);
  appendFileSync(sshd.authorizedKeysFile, readFileSync(`${short}.pub`));
  const bits = rsaBits(Buffer.from(sshd.hostKeys[0]?.publicKey.split(' ')[1] ?? '', 'base64')) ?? 0;
  assert.ok(bits >= 2048 && bits % 8 === 0, String(bits));
  const spec = specFor(sshd, [[await freePort(), 1]]);
  const tooShort = startTunnel(t, { ...spec, requiredRSASize: bits + 1 });
  const { failure } = await tooShort.untilFailure('no-common-algorithm');
  assert.match(failure?.message ?? '', new RegExp(`whose ${bits} bits are fewer than requiredRSASize ${bits + 1}`));
  await tooShort.stop();
  assert.equal(ssh(sshd, `RequiredRSASize=${bits + 1}`), false);
  assert.equal(ssh(sshd, `RequiredRSASize=${bits}`), true);

  const elsewhere = await server(t);
  appendFileSync(elsewhere.authorizedKeysFile, readFileSync(`${short}.pub`));
  const ours = { ...specFor(elsewhere, [[await freePort(), 1]]), identityFiles: [short] };
  const refused = startTunnel(t, { ...ours, requiredRSASize: 2049 });
  assert.match((await refused.untilFailure('key-unreadable')).failure?.message ?? '', /RSA key of 2048 bits/);
  await refused.stop();
  await startTunnel(t, { ...ours, requiredRSASize: 2048 }).untilPhase('up');
});

test('does not offer keys, and signs with RSA in no other way, when PubkeyAcceptedAlgorithms forbids it', async (t) => {
  const sshd = await server(t, { config: ['LogLevel DEBUG3'] });
  const rsa = join(sshd.dir, 'rsa');
  writeRsaKey(rsa);
  appendFileSync(sshd.authorizedKeysFile, readFileSync(`${rsa}.pub`));
  const spec = { ...specFor(sshd, [[await freePort(), 1]]), identityFiles: [rsa, sshd.clientKey] };
  for (const algorithm of ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519']) {
    const before = sshd.log().length;
    const tunnel = startTunnel(t, { ...spec, pubkeyAcceptedAlgorithms: [algorithm] });
    await tunnel.untilPhase('up');
    await tunnel.stop();
    const asked = [
      ...sshd
        .log()
        .slice(before)
        .matchAll(/querying public key (\S+)|public key (\S+) blob/g),
    ];
    const used = asked.map(([, one, two]) => one ?? two);
    assert.ok(used.length > 0, sshd.log().slice(before));
    assert.deepEqual([...new Set(used)], [algorithm]);
  }
  const none = startTunnel(t, { ...spec, pubkeyAcceptedAlgorithms: ['ecdsa-sha2-nistp256'] });
  const { failure } = await none.untilFailure('key-unreadable');
  assert.match(failure?.message ?? '', /rsa is not offered: pubkeyAcceptedAlgorithms allows none of rsa-sha2-256/);
  assert.match(failure?.message ?? '', /client_key is not offered/);
});

test('signs nothing that is not accepted when a server takes SHA-1 alone', async (t) => {
  const sshd = await server(t, { config: ['PubkeyAcceptedAlgorithms ssh-rsa', 'LogLevel DEBUG3'] });
  const rsa = join(sshd.dir, 'rsa');
  writeRsaKey(rsa);
  appendFileSync(sshd.authorizedKeysFile, readFileSync(`${rsa}.pub`));
  const spec = { ...specFor(sshd, [[await freePort(), 1]]), identityFiles: [rsa] };
  const tunnel = startTunnel(t, { ...spec, pubkeyAcceptedAlgorithms: ['rsa-sha2-512', 'rsa-sha2-256'] });
  await tunnel.untilFailure('auth-rejected');
  await tunnel.stop();
  assert.ok(!/public key ssh-rsa/.test(sshd.log()), 'no SHA-1');
  await startTunnel(t, { ...spec, pubkeyAcceptedAlgorithms: ['ssh-rsa'] }).untilPhase('up');
});

test('does not offer what PubkeyAuthentication no and PreferredAuthentications forbid', async (t) => {
  const sshd = await server(t, { config: ['PasswordAuthentication yes', 'KbdInteractiveAuthentication yes'] });
  const passwordFile = join(sshd.dir, 'password');
  writeFileSync(passwordFile, 'wrong\n', { mode: 0o600 });
  const spec: TunnelSpec = { ...specFor(sshd, [[1, 1]]), passwordFile };
  const offered = async (authentications: TunnelSpec['authentications']) => {
    const tunnel = startTunnel(t, { ...spec, authentications });
    const { failure } = await tunnel.untilPhase('blocked');
    await tunnel.stop();
    assert.match(failure?.message ?? '', /keys are turned off \(pubkeyAuthentication, preferredAuthentications\)/);
    return /nothing to offer|offered ([\w, -]+)/.exec(failure?.message ?? '')?.[1];
  };
  assert.equal(await offered([]), undefined);
  assert.equal(await offered(['password']), 'password');
  assert.equal(await offered(['keyboard-interactive', 'password']), 'keyboard-interactive, password');
});

test('binds and dials only the family of AddressFamily when it is set, as ssh does', async (t) => {
  const sshd = await server(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  for (const [addressFamily, address, other] of [
    ['inet', '127.0.0.1', '::1'],
    ['inet6', '::1', '127.0.0.1'],
  ] as const) {
    const [loopback, all, named, wrong, proxy] = await Promise.all([1, 2, 3, 4, 5].map(() => freePort()));
    const at = (port: number | undefined, host: string) => ({ type: 'tcp', host, port: port ?? 0 }) as const;
    const forwards: ForwardSpec[] = [
      { kind: 'local', listen: at(loopback, 'localhost'), target: at(echo.port, '127.0.0.1') },
      { kind: 'dynamic', listen: at(all, ''), target: { type: 'socks' } },
      { kind: 'local', listen: at(named, address), target: at(echo.port, '127.0.0.1') },
      { kind: 'local', listen: at(wrong, other), target: at(echo.port, '127.0.0.1') },
      { kind: 'remote', listen: at(proxy, 'localhost'), target: { type: 'socks' } },
    ];
    const spec = { ...specFor(sshd, [[1, 1]], { forwards }), addressFamily, exitOnForwardFailure: false };
    // The server is one of IPv4, and is reached through a program that does not mind.
    const command = `nc 127.0.0.1 ${sshd.port}`;
    const tunnel = startTunnel(t, { ...spec, entry: { type: 'command', command } });
    const { forwards: states } = await tunnel.untilPhase('up');
    assert.deepEqual(
      states.map(({ state }) => state),
      ['up', 'up', 'up', 'refused', 'up'],
    );
    assert.match(JSON.stringify(tunnel.lines), /cannot listen on [^ ]+: it is no IPv[46] address \(addressFamily\)/);
    for (const port of [loopback, all, named]) {
      const visitor = connect({ port: port!, host: address });
      await once(visitor, 'connect');
      visitor.destroy();
      await assert.rejects(once(connect({ port: port!, host: other }), 'connect'), { code: 'ECONNREFUSED' });
    }
    const { code, socket } = await socks(proxy!, 5, '127.0.0.1', echo.port);
    assert.equal(code, addressFamily === 'inet' ? 0 : 4, 'host unreachable (RFC 1928)');
    socket.destroy();
    await tunnel.stop();
  }
});

test('comes from the address of the interface when BindInterface is set', async (t) => {
  const sshd = await server(t);
  const [loopback = assert.fail()] = Object.entries(networkInterfaces()).flatMap(([name, all]) =>
    (all ?? []).some(({ address }) => address === '127.0.0.1') ? [name] : [],
  );
  const spec = specFor(sshd, [[await freePort(), 1]]);
  await startTunnel(t, { ...spec, bindInterface: loopback }).untilPhase('up');
  const missing = startTunnel(t, { ...specFor(sshd, [[await freePort(), 1]]), bindInterface: 'none0' });
  const { failure } = await missing.untilFailure('unreachable');
  assert.match(failure?.message ?? '', /interface none0 \(bindInterface\) does not exist/);

  const at = (address: string, family: 'IPv4' | 'IPv6', scopeid = 0) =>
    ({ address, family, scopeid, netmask: '', mac: '', internal: false, cidr: null }) as never;
  const interfaces = {
    eth0: [at('fe80::1', 'IPv6', 2), at('2001:db8::1', 'IPv6'), at('192.0.2.1', 'IPv4'), at('192.0.2.2', 'IPv4')],
    wlan0: [at('fe80::2', 'IPv6', 3)],
  };
  const from = (bindInterface: string, family: 4 | 6) =>
    localAddress({ bindAddress: null, bindInterface }, family, interfaces);
  assert.equal(from('eth0', 4), '192.0.2.1');
  assert.equal(from('eth0', 6), '2001:db8::1');
  assert.equal(from('wlan0', 6), 'fe80::2%wlan0');
  assert.throws(() => from('wlan0', 4), /has no IPv4 address/);
  assert.equal(localAddress({ bindAddress: '192.0.2.9', bindInterface: 'gone' }, 4, interfaces), '192.0.2.9');
});

test('gives a local Unix socket its mode when StreamLocalBindMask is set', async (t) => {
  const sshd = await server(t);
  for (const mask of [0o177, 0o117, 0o777]) {
    const path = join(sshd.dir, `${mask}.sock`);
    const forwards: ForwardSpec[] = [
      { kind: 'local', listen: { type: 'unix', path }, target: { type: 'tcp', host: '127.0.0.1', port: 1 } },
    ];
    await startTunnel(t, { ...specFor(sshd, [[1, 1]], { forwards }), streamLocalBindMask: mask }).untilPhase('up');
    assert.equal(statSync(path).mode & 0o777, 0o777 & ~mask);
  }
});

test('refuses a known name when its address belongs to another key and CheckHostIP is set', async (t) => {
  const sshd = await server(t);
  const spec = { ...specFor(sshd, [[1, 1]]), host: 'relay.example', port: 22 };
  const [ours = '', theirs = ''] = [sshd, await server(t)].map(({ hostKeys }) => hostKeys[0]?.publicKey ?? '');
  const key = Buffer.from(ours.split(' ')[1] ?? '', 'base64');
  const verdict = async (lines: string, address: string | null, changes: Partial<TunnelSpec> = {}) => {
    const [file = ''] = spec.userKnownHostsFiles;
    writeFileSync(file, `relay.example ${ours}\n${lines}`);
    const judge = await prepareHostKeyVerifier({ ...spec, checkHostIP: true, ...changes }, silent);
    if (address !== null) await judge.addAddress(address);
    return judge.verify(key)?.code ?? null;
  };
  assert.equal(await verdict('', '192.0.2.1'), null);
  assert.equal(await verdict(`192.0.2.1 ${ours}\n`, '192.0.2.1'), null);
  assert.equal(await verdict(`192.0.2.1 ${theirs}\n`, '192.0.2.1'), 'host-key-changed');
  assert.equal(await verdict(`@revoked 192.0.2.1 ${ours}\n`, '192.0.2.1'), 'host-key-revoked');
  assert.equal(await verdict(`192.0.2.1 ${theirs}\n`, '192.0.2.2'), null);
  assert.equal(await verdict(`192.0.2.1 ${theirs}\n`, null), null, 'behind a proxy nobody knows the address');
  assert.equal(await verdict(`127.0.0.1 ${theirs}\n`, '127.0.0.1'), null, 'as ssh, which leaves loopback out');
  assert.equal(await verdict(`192.0.2.1 ${theirs}\n`, '192.0.2.1', { checkHostIP: false }), null);
  const forwards = specFor(sshd, [[await freePort(), 1]]);
  await startTunnel(t, { ...forwards, checkHostIP: true }).untilPhase('up');
});

test('exchanges keys anew after the bytes of RekeyLimit, and loses nothing', async (t) => {
  const sshd = await server(t, { config: ['LogLevel DEBUG1'] });
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const spec = specFor(sshd, [[port, echo.port]]);
  const exchanges = async (rekeyLimit: TunnelSpec['rekeyLimit']) => {
    const before = sshd.log().length;
    const tunnel = startTunnel(t, { ...spec, rekeyLimit });
    await tunnel.untilPhase('up');
    const sent = 'x'.repeat(3_000_000);
    const visitor = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    visitor.end(sent);
    assert.equal((await text(visitor)).length, sent.length);
    await tunnel.stop();
    return (
      sshd
        .log()
        .slice(before)
        .match(/SSH2_MSG_KEXINIT received/g)?.length ?? 0
    );
  };
  assert.equal(await exchanges(null), 1);
  const many = await exchanges({ bytes: 1_000_000, ms: null });
  assert.ok(many >= 3 && many < 12, `${many} exchanges`);
});

test('ends a connection when it is idle longer than ChannelTimeout, and no busy one', async (t) => {
  const sshd = await server(t);
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const channelTimeout = [{ type: 'forwarded-*', ms: 1500 }]; // longer than a busy machine holds this process up
  const tunnel = startTunnel(t, { ...specFor(sshd, [[port, echo.port]]), channelTimeout });
  await tunnel.untilPhase('up');
  const visitor = connect({ port, host: '127.0.0.1' });
  const over = text(visitor).catch(() => 'reset');
  const busy = setInterval(() => visitor.write('x'), 50);
  await until(() => visitor.bytesRead >= 40, { what: 'it to outlive the limit' });
  clearInterval(busy);
  await over;
  await until(() => tunnel.lines.some(({ msg }) => msg === 'connection ended: idle for 2 s (channelTimeout)'), {
    what: 'its end to be logged',
  });
  assert.equal(tunnel.state().phase, 'up');
});

test('knows which limit of ChannelTimeout is whose', () => {
  const tcp = { type: 'tcp', host: 'localhost', port: 1 } as const;
  const unix = { type: 'unix', path: '/s' } as const;
  const limits = [
    { type: 'direct-tcpip', ms: 0 },
    { type: 'direct-*', ms: 5 },
    { type: 'session', ms: 7 },
  ];
  const of = (forward: ForwardSpec) => idleWatches(limits, systemClock)(forward) !== null;
  assert.equal(
    of({ kind: 'local', listen: tcp, target: tcp }),
    false,
    'the first that matches says that there is none',
  );
  assert.equal(of({ kind: 'dynamic', listen: tcp, target: { type: 'socks' } }), false);
  assert.equal(of({ kind: 'local', listen: tcp, target: unix }), true);
  assert.equal(of({ kind: 'remote', listen: unix, target: tcp }), false);
  const global = idleWatches([{ type: 'global', ms: 5 }], systemClock);
  assert.notEqual(global({ kind: 'remote', listen: tcp, target: tcp }), null);
});

const silent = createLogger('fatal', () => {});

async function server(t: TestContext, options: SshdOptions = {}): Promise<TestSshd> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  return sshd;
}

/** Whether ssh itself logs in with an option. */
function ssh(sshd: TestSshd, option: string): boolean {
  const known = join(sshd.dir, 'known_hosts-ssh');
  writeFileSync(known, sshd.knownHostsLine());
  const options = [
    option,
    `UserKnownHostsFile=${known}`,
    'GlobalKnownHostsFile=none',
    'BatchMode=yes',
    'ControlPath=none',
  ];
  const login = ['-F', 'none', '-p', String(sshd.port), '-i', sshd.clientKey, '-o', 'IdentitiesOnly=yes'];
  const flags = options.flatMap((each) => ['-o', each]);
  const env = { PATH: process.env['PATH'] ?? '' };
  const { status } = spawnSync('ssh', [...login, ...flags, `${sshd.user}@127.0.0.1`, 'true'], { env });
  return status === 0;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
