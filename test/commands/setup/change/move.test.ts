import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { move } from '../../../../src/commands/setup/change/move.ts';
import { fingerprintOf } from '../../../support/login.ts';
import { startSshd } from '../../../support/sshd.ts';
import { startDaemonProcess, tunneld } from '../../../support/tunneld.ts';
import { freePort, tempDir } from '../../../support/until.ts';

const OPTIONS = { from: null, via: null, jump: false, wait: false, yes: true, hostKeyFingerprint: null };

test('leaves a tunnel alone that has the name of the copy, and is at another server', async (t) => {
  const file = join(await tempDir(t), 'config.yaml');
  const line = (name: string, host: string, forward: string) =>
    `  ${name}: { host: ${host}, user: me, identityFile: k, sshConfig: none, ${forward} }\n`;
  const text = `tunnels:\n${line('relay', '127.0.0.1', 'localForward: 8080:localhost:22')}${line('relay-next', '127.0.0.2', 'remoteForward: 8081:localhost:22')}`;
  writeFileSync(file, text);
  await assert.rejects(
    move(file, 'relay', 'me@127.0.0.3', OPTIONS),
    /has a tunnel relay-next to me@127\.0\.0\.2:22 already, .*finish that move \(tunneld move relay me@127\.0\.0\.2:22\), or give that tunnel another name$/,
  );
  assert.equal(readFileSync(file, 'utf8'), text);
});

test('replaces the server of several that is named, with both up until the switch, and keeps how they are written', async (t) => {
  const [a, b, c] = await Promise.all([startSshd(), startSshd(), startSshd()]);
  for (const sshd of [a, b, c]) {
    t.after(() => sshd.stop());
    writeFileSync(sshd.authorizedKeysFile, readFileSync(`${a.clientKey}.pub`), { mode: 0o600 });
  }
  const known = join(a.dir, 'known_hosts');
  writeFileSync(known, `${a.knownHostsLine()}\n${b.knownHostsLine()}\n`);
  // They are one machine: each of them chooses another port.
  const yaml = (servers: string) => `tunnels:
  relay: # mine
    servers: ${servers}
    user: ${a.user}
    identityFile: ${a.clientKey}
    userKnownHostsFile: ${known}
    remoteForward: 0:localhost:22
`;
  const all = (last: number) => `{ all: [{ host: 127.0.0.1, port: ${a.port} }, { host: 127.0.0.1, port: ${last} }] }`;
  const daemon = await startDaemonProcess(t, yaml(all(b.port)));
  const written = readFileSync(daemon.configFile, 'utf8');
  const untilAt = (...ports: number[]) =>
    daemon.untilStatus(
      ({ tunnels, trial }) =>
        trial === undefined &&
        ports.join() === tunnels.map(({ phase, server }) => (phase === 'up' ? server.split(':').at(-1) : '')).join(),
      `up at ${ports.join()}`,
    );
  await untilAt(a.port, b.port);
  const next = `127.0.0.1:${c.port}`;
  const command = (...args: string[]) =>
    tunneld(['move', 'relay', ...args, '--config', daemon.configFile], { cwd: daemon.dir });
  const to = [next, '--host-key-fingerprint', fingerprintOf(c.hostKeys[0]!.file)];
  const refused = (from: string | null, why: RegExp) =>
    assert.rejects(move(daemon.configFile, 'relay', next, { ...OPTIONS, from }), why);
  await refused(null, /relay has several servers: name the one to leave with --from \(\S+:\d+, \S+:\d+\)/);
  await refused(`127.0.0.1:${await freePort()}`, /: relay has no such server, but \S+:\d+, \S+:\d+$/);
  await refused('127.0.0.1', /relay has more than one such server: /);
  await refused('-x', /must be \[user@\]host\[:port\]/);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), written);

  const from = ['--from', `127.0.0.1:${b.port}`];
  const both = await command(...to, ...from);
  assert.equal(both.code, 0, both.stderr);
  assert.match(both.stderr, /both are up: relay at \S+, and relay-next at /);
  await untilAt(a.port, b.port, c.port);
  const switched = await command(...to, ...from, '--yes');
  assert.equal(switched.code, 0, switched.stderr);
  assert.match(
    switched.stderr,
    new RegExp(`left on \\S+:${b.port}: the user .* \\S+relay-undo-127\\.0\\.0\\.1\\.sh, run there`),
  );
  await untilAt(a.port, c.port);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), written.replace(String(b.port), String(c.port)));
  assert.equal(await move(daemon.configFile, 'relay', next, OPTIONS), 0);
  await refused(`127.0.0.1:${a.port}`, /has the server \S+ already: to leave/);

  // The first of several, of which one has the tunnel at a time.
  const list = (first: number) => yaml(`\n      - 127.0.0.1:${first} # the first\n      - 127.0.0.1:${c.port}`);
  daemon.writeConfig(list(a.port));
  assert.equal((await daemon.command('reload')).code, 0);
  const back = await command(`127.0.0.1:${b.port}`, '--from', `127.0.0.1:${a.port}`, '--yes');
  assert.equal(back.code, 0, back.stderr);
  assert.ok(readFileSync(daemon.configFile, 'utf8').includes(list(b.port).slice('tunnels:\n'.length)));
  await daemon.untilStatus(
    ({ tunnels, trial }) =>
      trial === undefined && tunnels[0]?.phase === 'up' && tunnels[0].server.endsWith(`:${b.port}`),
    'up at the new first one',
  );
});
