import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { accessOf } from '../../src/server-rules/access.ts';
import { clientText } from '../../src/setup/client.ts';
import { readHostKeyLines } from '../../src/host/host-keys.ts';
import { nixosModule } from '../../src/setup/script/nixos.ts';
import { readPublicKeys } from '../../src/setup/public-key.ts';
import { shellQuote } from '../../src/lib/shell-quote.ts';
import { printer } from '../../src/setup/script/quote.ts';
import { setUpScript } from '../../src/setup/script/set-up.ts';
import { LINUX, MACOS } from '../../src/setup/script/system.ts';
import { undoScript } from '../../src/setup/script/undo.ts';
import { type KeyedTunnel, serverSetup } from '../../src/server-rules/server-setup.ts';
import { UserError } from '../../src/lib/user-error.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { ForwardSpec } from '../../src/model/spec.ts';
import { tempDir } from '../support/until.ts';

const SSH: Endpoint = tcp('localhost', 22);
const HOST_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK/X7oTrGab1v2eGMiIi7Komz1hcckjDWErvXg264t5';

const NO_SERVER = { via: null, serverKeys: [] };

function tcp(host: string, port: number): Endpoint {
  return { type: 'tcp', host, port };
}

function remote(listen: Endpoint, target: ForwardSpec['target'] = SSH): ForwardSpec {
  return { kind: 'remote', listen, target };
}

function tunnel(
  name: string,
  forwards: readonly ForwardSpec[],
  key = 'AAAA',
  user = 'limited',
  jump = false,
): KeyedTunnel {
  return {
    spec: { name, user, forwards, verify: 'auto' },
    keys: [{ type: 'ssh-ed25519', base64: key, comment: 'a comment', fingerprint: `SHA256:${key}` }],
    jump,
  };
}

test('says in the words of sshd what a tunnel needs', () => {
  const access = (forwards: readonly ForwardSpec[], jump = false) =>
    accessOf({ name: 'a', forwards, verify: 'off' }, jump);
  const listens = (listen: Endpoint) => access([remote(listen)]).listens;
  assert.deepEqual(listens(tcp('localhost', 8080)), ['localhost:8080']);
  assert.deepEqual(listens(tcp('', 8080)), ['*:8080']);
  assert.deepEqual(listens(tcp('::1', 8080)), ['[::1]:8080']);
  assert.deepEqual(listens(tcp('Relay.Example.ORG', 8080)), ['relay.example.org:8080']);
  assert.deepEqual(listens(tcp('localhost', 0)), ['localhost:*']);
  assert.throws(() => listens(tcp('a*', 1)), UserError);
  assert.throws(() => listens(tcp('a"b', 1)), UserError);

  for (const host of ['localhost', '127.0.0.1', '::1'])
    assert.equal(access([remote(tcp(host, 1))]).publicListener, false);
  for (const host of ['', '0.0.0.0', '::', '10.0.0.5'])
    assert.equal(access([remote(tcp(host, 1))]).publicListener, true);

  const both = [remote(tcp('localhost', 80), tcp('localhost', 80)), remote(tcp('', 8080))];
  assert.deepEqual(access(both).opens, []);
  assert.deepEqual(access(both, true).opens, ['localhost:8080', '127.0.0.1:8080']);
  assert.deepEqual(access([remote(tcp('10.0.0.5', 8080))], true).opens, ['10.0.0.5:8080']);
  assert.match(access(both).notes.join(), /Port 80 is below 1024/);
  assert.throws(() => access([remote(tcp('localhost', 0))], true), /fixed port/);

  const dynamic: ForwardSpec = { kind: 'dynamic', listen: tcp('localhost', 1080), target: { type: 'socks' } };
  assert.equal(access([dynamic]).opens, 'any');
  const local: ForwardSpec = { kind: 'local', listen: tcp('localhost', 1), target: { type: 'unix', path: '/run/a' } };
  assert.equal(access([local]).socketTarget, true);
});

test('shares a line of keys when tunnels have one key, and one Match block for all', () => {
  const of = (port: number) => [remote(tcp('localhost', port))];
  const setup = serverSetup([
    tunnel('a', of(8081), 'AAAA'),
    tunnel('b', of(8082), 'BBBB'),
    tunnel('c', of(8083), 'AAAA'),
  ]);
  const seen = (port: number) =>
    ['localhost', '127.0.0.1', '[::1]'].map((host) => `permitopen="${host}:${port}"`).join();
  const telltale = (port: number) => `permitopen="127.0.0.2:${port}"`;
  assert.deepEqual(setup.keyLines, [
    `restrict,port-forwarding,permitlisten="localhost:8081",permitlisten="localhost:8083",${seen(8081)},${seen(8083)},${telltale(8081)},${telltale(8083)},command="false" ssh-ed25519 AAAA a comment`,
    `restrict,port-forwarding,permitlisten="localhost:8082",${seen(8082)},${telltale(8082)},command="false" ssh-ed25519 BBBB a comment`,
  ]);
  assert.equal(new Map(setup.options).get('PermitListen'), 'localhost:8081 localhost:8082 localhost:8083');
  assert.match(
    setUpScript(setup, LINUX, 'relay:22'),
    /^# Sets the server relay:22 up for the tunnels a, b, c of tunneld/m,
  );
});

test('marks the line of a key when its tunnel need not be at this server', () => {
  const [at, other] = [8081, 8082].map((port) => tunnel('a', [remote(tcp('localhost', port))], 'AAAA')) as [KeyedTunnel, KeyedTunnel]; // oxfmt-ignore
  const inMode = (mode: 'failover' | 'all') => ({
    ...at,
    hostKey: { port: 8081, fingerprint: 'SHA256:x' },
    spec: { ...at.spec, redundancy: { tunnel: 'a', mode, afterMs: 1, backMs: 1 } },
  });
  const lineOf = (...tunnels: [KeyedTunnel, ...KeyedTunnel[]]) => serverSetup(tunnels).keyLines.join();
  assert.match(lineOf(inMode('failover')), / AAAA a comment servers:failover host-key:8081=SHA256:x$/);
  assert.match(lineOf(inMode('all')), / AAAA a comment host-key:8081=SHA256:x$/);
  assert.match(lineOf(inMode('failover'), other), / AAAA a comment host-key:8081=SHA256:x$/);
});

test('refuses a name when it means something to sh or sshd', () => {
  for (const user of ["o'brien", 'a b', 'a\nb', '*', 'a,b', '!a', '-a', '$(id)', 'a"', '../a', '', 'a%u', 'ä'])
    assert.throws(() => serverSetup([tunnel('a', [remote(tcp('localhost', 8080))], 'A', user)]), UserError, user);
  const spec = { name: 'a', host: 'relay', port: 22, user: 'limited', forwards: [remote(tcp('localhost', 8080))] };
  for (const wrong of ['a b', 'a\nProxyCommand id', '*', '!a', '"a"', ''])
    for (const options of [
      { user: wrong, alias: 'pi' },
      { user: 'pi', alias: wrong },
    ])
      assert.throws(() => clientText(spec, { ...NO_SERVER, ...options, hostKeys: [] }), UserError, wrong);
});

test('prints a comment as it is, whatever it holds, when sh runs the script', () => {
  for (const text of ["it's", '$(exit 1) `exit 1` $HOME \\ "', "'; exit 1; '", 'END_OF_TEXT x', 'ü %s']) {
    const sh = (script: string) => execFileSync('sh', ['-c', script], { encoding: 'utf8' });
    assert.equal(sh(`printf %s ${shellQuote(text)}`), text);
    assert.equal(sh(`${printer('show', text)}\nshow`), `${text}\n`);
  }
});

test('makes scripts that have no error when sh reads them', () => {
  const setup = serverSetup([tunnel('a', [remote(tcp('', 8080))])]);
  for (const system of [LINUX, MACOS]) {
    for (const script of [
      setUpScript(setup, system, 'relay'),
      setUpScript(setup, system, 'relay', true),
      undoScript('limited', ['a'], system, 'relay'),
    ])
      execFileSync('sh', ['-n'], { input: script });
  }
});

test('makes an attribute set when the server is NixOS, with what Nix would expand escaped', () => {
  const odd = tunnel('a', [remote(tcp('localhost', 8080))]);
  const setup = serverSetup([{ ...odd, keys: [{ ...odd.keys[0]!, comment: 'a "b" ${c} \\' }] }]);
  const text = nixosModule(setup, 'relay');
  assert.ok(text.includes(String.raw`command=\"false\" ssh-ed25519 AAAA a \"b\" \$` + '{c} \\\\"'), text);
  for (const line of ['users.users."limited" = {', '"Match User limited"', '"  ForceCommand false"', '"Match all"'])
    assert.ok(text.includes(line), line);
});

test('prints the public key of the private one, with its comment', async (t) => {
  const dir = await tempDir(t);
  const make = (name: string, ...options: string[]) => {
    const file = join(dir, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-C', `the ${name}`, '-f', file, ...options]);
    return file;
  };
  const readAll = (...identityFiles: string[]) =>
    readPublicKeys({ identityFiles, passphraseFile: null, identityFilesConfigured: true });
  const read = async (...identityFiles: string[]) => (await readAll(...identityFiles)).keys[0];
  const publicOf = (file: string) =>
    execFileSync('ssh-keygen', ['-y', '-P', 'secret', '-f', file], { encoding: 'utf8' });

  const plain = make('plain key', '-N', '');
  const encrypted = make('encrypted key', '-N', 'secret');
  for (const file of [plain, encrypted]) {
    const { type, base64, comment } = await read(file);
    assert.equal(`${type} ${base64}`, publicOf(file).split(' ', 2).join(' ').trim());
    assert.equal(comment, `the ${file.slice(dir.length + 1)}`);
  }
  assert.deepEqual(await read(join(dir, 'none'), plain), await read(plain));

  // A .pub of another key says nothing; without one, the private key is enough.
  const expected = (await read(plain)).base64;
  writeFileSync(`${plain}.pub`, publicOf(encrypted));
  assert.equal((await read(plain)).base64, expected);
  rmSync(`${plain}.pub`);
  const { fingerprint, ...key } = await read(plain);
  assert.deepEqual(key, { type: 'ssh-ed25519', base64: expected, comment: 'the plain key' });
  assert.match(fingerprint, /^SHA256:/);
  // And without a private key (it may be another user's) its .pub.
  rmSync(encrypted);
  assert.equal((await read(encrypted)).comment, 'the encrypted key');

  await assert.rejects(read(), /no identityFile/);
  await assert.rejects(read(join(dir, 'none')), /no key of the tunnel can be read: .*none does not exist/);
});

test('prints a Host block for the port that leads to ssh, and the keys under its name', () => {
  const spec = {
    name: 'backup',
    host: '2001:db8::1',
    port: 2222,
    user: 'limited',
    forwards: [
      remote(tcp('localhost', 80), tcp('localhost', 80)),
      remote(tcp('', 8080)),
      remote(tcp('localhost', 8081)),
    ],
  };
  const text = clientText(spec, {
    ...NO_SERVER,
    user: 'pi',
    alias: 'attic',
    hostKeys: [`${HOST_KEY} root@pi\n`, 'no key'],
  });
  assert.match(
    text,
    /^Host attic\n {2}HostName localhost\n {2}Port 8080\n {2}User pi\n {2}HostKeyAlias attic\n {2}UserKnownHostsFile ~\/\.ssh\/config\.d\/attic\.known_hosts\n {2}ProxyJump attic-server\n/m,
  );
  assert.match(text, /^Host attic-server\n {2}HostName 2001:db8::1\n {2}Port 2222\n {2}User limited\n/m);
  const via = { user: 'me', host: 'relay', port: 22 };
  const mine = clientText(spec, {
    user: 'pi',
    alias: 'attic',
    hostKeys: [],
    via,
    serverKeys: [`relay ${HOST_KEY}`, 'END_OF_KEYS'],
  });
  assert.match(mine, /^Host attic-server\n {2}HostName relay\n {2}Port 22\n {2}User me\n/m);
  assert.ok(mine.includes(`\nrelay ${HOST_KEY}\n\nEND_OF_KEYS\n`));
  assert.doesNotMatch(mine, /Put your own user/);
  assert.match(text, /Put your own user of the server in the place of limited/);
  assert.match(text, /^# On the server itself: ssh -p 8080 pi@localhost$/m);
  assert.ok(text.includes(`\nattic ${HOST_KEY}\nEND_OF_KEYS\n`));
  assert.doesNotMatch(text, /no key/);

  const to = (listen: Endpoint, target: ForwardSpec['target']) =>
    clientText(
      { ...spec, forwards: [remote(listen, target)] },
      { ...NO_SERVER, user: 'pi', alias: 'a', hostKeys: [HOST_KEY] },
    );
  assert.match(to(tcp('10.0.0.5', 8080), SSH), /^ {2}HostName 10\.0\.0\.5$/m);
  // Of a machine behind the device the keys are not the device's.
  const behind = to(tcp('localhost', 8080), tcp('nas', 22));
  assert.doesNotMatch(behind, /AAAA/);
  assert.match(behind, /leads to nas:22/);
  assert.match(clientText(spec, { ...NO_SERVER, user: 'pi', alias: 'a', hostKeys: [] }), /No host key was found/);
  for (const listen of [tcp('localhost', 0), { type: 'unix', path: '/run/a' } as const])
    assert.throws(() => to(listen, SSH), /fixed port/);
  assert.throws(
    () => clientText({ ...spec, forwards: [] }, { ...NO_SERVER, user: 'pi', alias: 'a', hostKeys: [] }),
    /no remoteForward/,
  );
});

test('reads the other host keys when one cannot be read', async (t) => {
  const dir = await tempDir(t);
  mkdirSync(join(dir, 'ssh_host_a_key.pub'));
  symlinkSync(join(dir, 'nothing'), join(dir, 'ssh_host_b_key.pub'));
  writeFileSync(join(dir, 'ssh_host_c_key.pub'), HOST_KEY);
  assert.deepEqual(await readHostKeyLines(dir), [HOST_KEY]);
  assert.deepEqual(await readHostKeyLines(join(dir, 'nothing')), []);
});
