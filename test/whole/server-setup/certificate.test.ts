import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { sshdVersion } from '../../support/sshd-process.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { connects, forwards, printed, reload, runScript, setUp, undo, untilListening, USER } from './fixture.ts';

const KEYS = `/etc/ssh/authorized_keys.d/${USER}`;
const BLOCK = `/etc/ssh/sshd_config.d/00-tunneld-${USER}.conf`;
const LISTENER = '8080:localhost:2022';
const PLAIN = `remoteForward: ${LISTENER}`;

test('lets a valid certificate of the authority listen on the port of the tunnel, and do nothing else', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, {
    // Everybody's authority, whose certificates for the user's own name would get in past the line.
    config: `Include /etc/ssh/sshd_config.d/*.conf\nTrustedUserCAKeys /etc/ssh/everybody.pub\n${sshdVersion() >= 9.8 ? 'PerSourcePenalties no\n' : ''}`,
  });
  for (const name of ['ca', 'everybody', 'other']) makeKey(world, name);
  writeFileSync(join(world.dir, 'etc/ssh/everybody.pub'), publicKeyOf(world, 'everybody'));
  await untilListening(world);
  const before = world.snapshot();
  const valid = ['-n', 'device-7,admin', '-V', '-1h:+1d'];
  certify(world, 'ca', valid);

  const first = await setUp(world);
  assert.match(first.stdout, /^ {2}trustedusercakeys none$/m);
  const line = world.read(KEYS)!;
  const [, type, base64] = /^(\S+) (\S+)/.exec(publicKeyOf(world, 'ca'))!;
  const limits = `restrict,port-forwarding,permitlisten="localhost:8080",permitopen="localhost:8080",permitopen="127.0.0.1:8080",permitopen="[::1]:8080",permitopen="127.0.0.2:8080",command="false"`;
  assert.ok(
    line.startsWith(`cert-authority,${limits},principals="device-7,admin" ${type} ${base64} it's a key key:SHA256:`),
    line,
  );
  const after = world.snapshot();
  assert.match((await setUp(world)).stdout, /nothing was changed/);
  assert.deepEqual(world.snapshot(), after);

  await t.test('what it may', () => {
    assert.equal(forwards(world, LISTENER), 'granted');
    for (const other of ['8081:localhost:2022', '0:localhost:2022', '*:8080:localhost:2022', '/run/a.sock:localhost:1'])
      assert.equal(forwards(world, other), 'refused', other);
    for (const to of ['localhost:22', '127.0.0.1:22', 'localhost:8081'])
      assert.equal(connects(world, to), 'prohibited', to);
    assert.doesNotMatch(world.ssh(`${USER}@server`, 'echo here').stdout, /here/);
    assert.match(world.ssh('-tt', `${USER}@server`).stderr, /PTY allocation request failed/);
  });

  await t.test('who may not', () => {
    const isRefused = (what: string, why?: RegExp) => {
      const { length } = world.sshdLog();
      assert.match(world.ssh(`${USER}@server`, 'true').stderr, /Permission denied \(publickey\)/, what);
      if (why !== undefined) assert.match(world.sshdLog().slice(length), why, what);
    };
    certify(world, 'ca', ['-n', 'device-7', '-V', '-2h:-1h']);
    isRefused('an expired one', /Certificate invalid: expired/);
    certify(world, 'ca', ['-n', 'device-7', '-V', '+1h:+2h']);
    isRefused('one of the future', /Certificate invalid: not yet valid/);
    certify(world, 'ca', ['-n', 'device-8', '-V', '-1h:+1d']);
    isRefused('one for another name', /does not contain an authorized principal|not listed|principal/);
    certify(world, 'ca', ['-n', USER, '-V', '-1h:+1d']);
    isRefused("one for the user's name, which the line does not have");
    certify(world, 'ca', ['-V', '-1h:+1d']);
    isRefused('one without names');
    certify(world, 'ca', ['-h', '-n', 'device-7', '-V', '-1h:+1d']);
    isRefused("a host's");
    certify(world, 'other', valid);
    isRefused('one of another authority');
    for (const names of [USER, 'device-7']) {
      certify(world, 'everybody', ['-n', names, '-V', '-1h:+1d']);
      isRefused(`one of the authority that all users trust, for ${names}`);
    }
    world.run(['rm', `${world.key}-cert.pub`]);
    isRefused('the key without a certificate');
    assert.match(
      world.ssh('-i', join(world.dir, 'ca'), `${USER}@server`).stderr,
      /Permission denied/,
      "the authority's",
    );
    certify(world, 'ca', valid);
    assert.equal(forwards(world, LISTENER), 'granted');
    // It is the block that refuses everybody's authority.
    certify(world, 'everybody', ['-n', USER, '-V', '-1h:+1d']);
    write(world, BLOCK, world.read(BLOCK)!.replace(/^.*TrustedUserCAKeys.*\n/m, ''));
  });
  await reload(world);
  assert.equal(forwards(world, LISTENER), 'granted');

  certify(world, 'ca', valid);
  await setUp(world);
  await undo(world);
  assert.deepEqual(world.snapshot(), before);
  assert.match(world.ssh(`${USER}@server`).stderr, /Permission denied/);
});

test('changes from a key to its certificate and back, and takes a renewed one without a change', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  for (const name of ['ca', 'next']) makeKey(world, name);
  await untilListening(world);
  const before = world.snapshot();
  // A new text each time: what was printed for the same files is kept.
  const script = (what: string) => printed(world, ['server-setup'], `${PLAIN} } } # ${what}\n#`);
  const run = async (what: string) => {
    const ran = runScript(world, await script(what));
    assert.equal(ran.code, 0, ran.stderr);
    await untilListening(world);
    return ran.stdout;
  };
  await setUp(world);
  assert.match(world.read(KEYS)!, /^restrict/);

  certify(world, 'ca', ['-n', USER, '-V', '-1h:+1d']);
  assert.match(await run('certified'), /replaced, because another line lets this key in now.*: 256 SHA256:/);
  assert.match(world.read(KEYS)!, new RegExp(`^cert-authority,\\S+,principals="${USER}" ssh-ed25519 \\S+ [^\\n]*\\n$`));
  assert.equal(forwards(world, LISTENER), 'granted');

  // Renewed, with more names and another number: nothing on the server is different.
  certify(world, 'ca', ['-n', `more,${USER}`, '-z', '8', '-V', '-1h:+2d']);
  assert.match(await run('renewed'), /nothing was changed/);

  certify(world, 'next', ['-n', USER, '-V', '-1h:+1d']);
  await run('another authority');
  assert.equal(forwards(world, LISTENER), 'granted');
  assert.equal(world.read(KEYS)!.trimEnd().split('\n').length, 1);

  certify(world, 'next', ['-n', USER, '-V', '-2h:-1h']);
  await assert.rejects(script('expired'), /-cert\.pub expired at .*would lock the tunnel out/);
  certify(world, 'next', ['-V', '-1h:+1h']);
  await assert.rejects(script('for nobody'), /is for no name that can be written.*ssh-keygen -n limited/);

  world.run(['rm', `${world.key}-cert.pub`]);
  await run('plain');
  assert.match(world.read(KEYS)!, /^restrict/);
  assert.equal(forwards(world, LISTENER), 'granted');
  await undo(world);
  assert.deepEqual(world.snapshot(), before);
});

test('lets a certificate in that names a command of its own, and does not run that', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t);
  makeKey(world, 'ca');
  await untilListening(world);
  certify(world, 'ca', ['-n', USER, '-V', '-1h:+1d', '-O', 'force-command=echo here']);
  await setUp(world);
  assert.equal(forwards(world, LISTENER), 'granted');
  assert.doesNotMatch(world.ssh(`${USER}@server`, 'true').stdout, /here/);
});

function makeKey(world: ServerWorld, name: string): void {
  world.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(world.dir, name)]);
}

function publicKeyOf(world: ServerWorld, name: string): string {
  return world.run(['cat', join(world.dir, `${name}.pub`)]).stdout;
}

function write(world: ServerWorld, path: string, text: string): void {
  writeFileSync(join(world.dir, path), text);
}

/** Certifies the tunnel's key, beside it. */
function certify(world: ServerWorld, authority: string, options: readonly string[]): void {
  const ran = world.run([
    'ssh-keygen',
    '-q',
    '-s',
    join(world.dir, authority),
    '-I',
    'device 7',
    ...options,
    `${world.key}.pub`,
  ]);
  assert.equal(ran.code, 0, ran.stderr);
}
