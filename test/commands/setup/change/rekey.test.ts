import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { logIn } from '../../../../src/commands/setup/change/accepts-key.ts';
import { rotate, type RotateDeps, switchTo } from '../../../../src/commands/setup/change/rekey.ts';
import { systemEnvironment } from '../../../../src/config/input/environment.ts';
import { loadConfig } from '../../../../src/config/load.ts';
import { rotationOf } from '../../../../src/setup/rotation.ts';
import { tunnelYaml } from '../../../support/daemon-config.ts';
import { startSshd, type TestSshd } from '../../../support/sshd.ts';
import { PROGRAM, startDaemonProcess } from '../../../support/tunneld.ts';
import { freePort, tempDir } from '../../../support/until.ts';

describe('tunneld rekey', { concurrency: 2 }, () => {
  test('keeps the tunnel up with one of the keys wherever it is interrupted, and goes on from there', async (t) => {
    const place = await start(t);
    const { dir, untilUp, tunnel, keys, accepted } = place;
    const before = await tunnel();
    // Each run is interrupted one step after the one before.
    for (const step of ['makes', 'allows', 'proves', 'switches', 'switched', 'removes', 'removed', 'forgets']) {
      await assert.rejects(run(place, step), /interrupted/);
      await untilUp();
      // What a restart of the device would read is accepted, too.
      const spec = await tunnel();
      await logIn(spec, spec.identityFiles[0]!);
    }
    assert.equal(await run(place), 0);
    await untilUp();
    const [next = ''] = (await tunnel()).identityFiles;
    assert.deepEqual([before.identityFiles, next], [[join(dir, 'relay.key')], join(dir, 'relay.2.key')]);
    assert.deepEqual(keys(), [next, `${next}.pub`]);
    assert.deepEqual(accepted(), [publicKey(next)]);
    assert.deepEqual(records(dir), []);
  });

  test('changes nothing where the server does not accept the new key', async (t) => {
    const place = await start(t);
    const { untilUp, tunnel, accepted } = place;
    const [before, keysBefore] = [(await tunnel()).identityFiles, accepted()];
    await assert.rejects(run(place, null, { allow: async () => true }), /refused|rejected|denied/i);
    await untilUp();
    assert.deepEqual([(await tunnel()).identityFiles, accepted()], [before, keysBefore]);
  });

  test('prints a script for both keys and one for the new one where a person runs them', async (t) => {
    const { untilUp, tunnel, dir, daemon, accept, keys } = await start(t);
    const rekey = () => daemon.command('rekey', 'relay', '--no-wait');
    const [old = ''] = (await tunnel()).identityFiles;
    const first = await rekey();
    assert.equal(first.code, 1, first.stderr);
    assert.match(first.stderr, /it lets both keys in; when it has run there, run this again/);
    const next = join(dir, 'relay.2.key');
    for (const key of [old, next]) assert.ok(first.stdout.includes(publicKey(key)), key);

    accept([old, next]);
    await killedAt(daemon.configFile, /on trial/);
    await daemon.untilStatus(({ tunnels: [one] }) => one?.phase === 'up', 'up on trial');
    const second = await rekey();
    assert.equal(second.code, 1, second.stderr);
    assert.match(second.stderr, /the tunnel is up with the new key/);
    assert.match(second.stderr, /it removes the old key; when it has run there, run this again/);
    assert.deepEqual([second.stdout.includes(publicKey(old)), second.stdout.includes(publicKey(next))], [false, true]);
    assert.match(second.stdout, /^#!\/bin\/sh\n/);

    accept([next]);
    const third = await rekey();
    assert.equal(third.code, 0, third.stderr);
    await untilUp();
    assert.deepEqual(keys(), [next, `${next}.pub`]);
  });

  test('says that the server was not asked about the old key when that cannot be read any more', async (t) => {
    const place = await start(t);
    const [old = ''] = (await place.tunnel()).identityFiles;
    await assert.rejects(run(place, 'removes'), /interrupted/);
    rmSync(old);
    const { code, stderr } = await place.daemon.command('rekey', 'relay');
    assert.equal(code, 0, stderr);
    assert.match(stderr, /was not asked whether it still accepts \S+relay\.key, .*`tunneld server-setup relay`/);
    assert.match(stderr, /done: the tunnel has \S+relay\.2\.key, and no old key/);
    await place.untilUp();
  });

  test('changes the key at both servers of a tunnel or at none when it has several', async (t) => {
    const { daemon, dir, servers, untilUp } = await startTwo(t);
    const [first, second] = servers;
    const old = join(dir, 'relay.key');
    const next = join(dir, 'relay.2.key');
    const run = () => daemon.command('rekey', 'relay', '--no-wait');
    const configured = () => /identityFile: (\S+)/.exec(readFileSync(daemon.configFile, 'utf8'))![1];

    // One script after the other; the key is not used anywhere before it is accepted everywhere.
    assert.match((await run()).stderr, new RegExp(`at \\S+:${first.port}:\n[^]*it lets both keys in`));
    accept(first, [old, next]);
    await second.kill();
    const unreachable = await run();
    assert.match(unreachable.stderr, new RegExp(`127\\.0\\.0\\.1:${second.port}: connect-refused`));
    assert.deepEqual([unreachable.code, configured()], [1, old]);
    await second.restart();
    const again = await run();
    assert.match(again.stderr, new RegExp(`at \\S+:${second.port}:\n[^]*it lets both keys in`));
    for (const key of [old, next]) assert.ok(again.stdout.includes(publicKey(key)), key);
    assert.equal(configured(), old);
    accept(second, [old, next]);
    const switched = await run();
    assert.match(switched.stderr, new RegExp(`is up with the new key\n[^]*at \\S+:${first.port}:\n`));
    assert.equal(configured(), next);
    await untilUp();

    accept(first, [next]);
    const removal = await run();
    assert.match(removal.stderr, new RegExp(`at \\S+:${second.port}:\n[^]*it removes the old key`));
    assert.ok(existsSync(old));
    accept(second, [next]);
    const done = await run();
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual([existsSync(old), existsSync(next)], [false, true]);
    await untilUp();
  });
});

/** A tunnel with two servers, of which one has it at a time: they are one machine, and have one port. */
async function startTwo(t: TestContext) {
  const servers = await Promise.all([startSshd(), startSshd()]);
  for (const server of servers) t.after(() => server.stop());
  const [first, second] = servers;
  const yaml = tunnelYaml(first, 'relay', `${await freePort()}:localhost:22`);
  const known = join(first.dir, 'known_hosts');
  writeFileSync(known, servers.map((server) => server.knownHostsLine('127.0.0.1', server.port)).join(''));
  const dir = await tempDir(t);
  const key = join(dir, 'relay.key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'tunneld relay of pi', '-f', key]);
  for (const server of servers) accept(server, [key]);
  const several = servers.map(({ port }) => `{ host: 127.0.0.1, port: ${port} }`).join(', ');
  const text = yaml
    .replace(/ {4}host: .*\n {4}port: .*\n/, `    servers: [${several}]\n`)
    .replace(first.clientKey, key);
  const daemon = await startDaemonProcess(t, `tunnels:\n${text}`);
  const untilUp = () =>
    daemon.untilStatus(
      ({ tunnels, trial }) =>
        trial === undefined && tunnels.some(({ phase, previous }) => phase === 'up' && previous === undefined),
      'up at one of them',
    );
  await untilUp();
  return { daemon, dir, servers: [first, second] as const, untilUp };
}

function accept({ authorizedKeysFile }: TestSshd, keys: readonly string[]): void {
  writeFileSync(authorizedKeysFile, `${keys.map(publicKey).join('\n')}\n`, { mode: 0o600 });
}

interface Place {
  readonly dir: string;
  readonly daemon: Awaited<ReturnType<typeof startDaemonProcess>>;
  tunnel(): Promise<Awaited<ReturnType<typeof loadConfig>>['tunnels'][number]>;
  untilUp(): Promise<unknown>;
  /** Files of keys in the directory of the configuration. */
  keys(): readonly string[];
  /** What the server accepts. */
  accept(keys: readonly string[]): void;
  accepted(): readonly string[];
}

/** A tunnel that is up; the server's authorized_keys is what a script for it would write. */
async function start(t: TestContext): Promise<Place> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const yaml = tunnelYaml(sshd, 'relay', `${await freePort()}:localhost:22`);
  const daemon = await startDaemonProcess(t, `tunnels:\n${yaml}`);
  const { dir, configFile } = daemon;
  const key = join(dir, 'relay.key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'tunneld relay of pi', '-f', key]);
  accept(sshd, [key]);
  writeFileSync(configFile, readFileSync(configFile, 'utf8').replace(sshd.clientKey, key));
  assert.equal((await daemon.command('reload')).code, 0);
  const untilUp = () =>
    daemon.untilStatus(
      ({ tunnels: [one], trial }) => one?.phase === 'up' && one.previous === undefined && trial === undefined,
      'up',
    );
  await untilUp();
  return {
    dir,
    daemon,
    tunnel: async () => (await loadConfig(configFile, systemEnvironment())).tunnels[0]!,
    untilUp,
    keys: () =>
      readdirSync(dir)
        .filter((name) => /^relay.*\.key/.test(name))
        .map((name) => join(dir, name)),
    accept: (allowed) => accept(sshd, allowed),
    accepted: () => readFileSync(sshd.authorizedKeysFile, 'utf8').trim().split('\n'),
  };
}

/** One run of the command; `interrupted` is the step before which it ends. */
async function run(
  { daemon: { configFile }, tunnel, accept }: Place,
  interrupted: string | null = null,
  instead: Partial<RotateDeps> = {},
): Promise<number> {
  const spec = await tunnel();
  const at = (step: string) => {
    if (step === interrupted) throw new Error(`interrupted where it ${step}`);
  };
  const rotation = await rotationOf(spec, '', 'key');
  if (interrupted === 'makes') {
    // Killed between the record and the key.
    writeFileSync(rotation.record, `${rotation.old.join('\n')}\n`);
    at('makes');
  }
  let allowed = rotation.phase === 'switched' ? 1 : 0;
  return await rotate(rotation, {
    comment: 'tunneld relay of pi',
    allow: async (keys) => {
      allowed += 1;
      at(allowed === 1 ? 'allows' : 'removes');
      accept(keys);
      if (allowed === 2) at('removed');
      return true;
    },
    prove: async (key) => {
      at('proves');
      await logIn(spec, key);
      at('switches');
    },
    switchTo: async (key) => {
      await switchTo(configFile, configFile, spec.name, key);
      at('switched');
    },
    isOurs: async () => {
      at('forgets');
      return true;
    },
    ...instead,
  });
}

function publicKey(file: string): string {
  return readFileSync(`${file}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
}

function records(dir: string): readonly string[] {
  return readdirSync(dir).filter((name) => name.endsWith('.replaces'));
}

/** The command is killed when it says this. */
async function killedAt(config: string, said: RegExp): Promise<void> {
  const child = spawn(process.execPath, [...PROGRAM, 'rekey', 'relay', '--no-wait', '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  let all = '';
  child.stderr.on('data', (text) => {
    all += String(text);
    if (said.test(all)) child.kill('SIGKILL');
  });
  await closed;
  assert.match(all, said);
}
