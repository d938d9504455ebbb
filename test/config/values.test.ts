import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseConfig } from '../../src/config/parse.ts';
import { ConfigError } from '../../src/config/input/problem.ts';
import { adHocConfig } from '../../src/config/command-line/ad-hoc.ts';
import { readAlgorithms } from '../../src/config/values/algorithm-list.ts';
import { completeServer } from '../../src/config/resolve/defaults.ts';
import { noTarget, readForward } from '../../src/config/values/forward.ts';
import { readDuration } from '../../src/config/values/duration.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../src/config/input/environment.ts';
import {
  configCandidates,
  defaultControlSocket,
  defaultLogFile,
  defaultStateDirectory,
} from '../../src/config/input/paths.ts';
import { hasAes } from '../../src/host/processor.ts';
import { servicePort } from '../../src/host/services.ts';
import { tempDir } from '../support/until.ts';

test('reads durations as OpenSSH does', () => {
  for (const text of ['90', '1m30s', '2h', '1H', '1d', '1w2d3h4m5s']) {
    const shown = execFileSync('ssh', ['-G', '-F', 'none', '-o', `ConnectTimeout=${text}`, 'host'], {
      encoding: 'utf8',
    });
    const seconds = Number(/^connecttimeout (\d+)$/m.exec(shown)?.[1]);
    assert.equal(readDuration(text), seconds * 1000, text);
  }
  for (const wrong of ['', 'soon', '-1', '1.5', '1y', '1 m', '99999999999999999999']) {
    assert.throws(() => readDuration(wrong), `'${wrong}' is no duration`);
  }
});

test('looks for files where users of each system look for them', () => {
  const pi: ConfigEnvironment = {
    home: '/home/pi',
    userName: 'pi',
    uid: 1000,
    platform: 'linux',
    env: {},
    aes: true,
    directory: '/',
  };
  const root: ConfigEnvironment = { ...pi, home: '/root', uid: 0 };
  const mac: ConfigEnvironment = { ...root, platform: 'darwin' };
  const unit: ConfigEnvironment = {
    ...pi,
    env: { RUNTIME_DIRECTORY: '/run/tunneld:/run/b', STATE_DIRECTORY: '/var/lib/tunneld' },
  };
  assert.deepEqual(configCandidates('f', pi), ['f']);
  assert.deepEqual(configCandidates(null, { ...pi, env: { TUNNELD_CONFIG: 'g' } }), ['g']);
  assert.deepEqual(configCandidates(null, pi), ['/etc/tunneld/config.yaml', '/home/pi/.config/tunneld/config.yaml']);
  assert.equal(configCandidates(null, mac)[0], '/usr/local/etc/tunneld/config.yaml');
  assert.equal(defaultControlSocket(root), '/run/tunneld/control.sock');
  assert.equal(defaultControlSocket(unit), '/run/tunneld/control.sock');
  assert.equal(
    defaultControlSocket({ ...pi, env: { XDG_RUNTIME_DIR: '/run/user/1000' } }),
    '/run/user/1000/tunneld/control.sock',
  );
  assert.equal(defaultControlSocket(pi), '/home/pi/.local/state/tunneld/control.sock');
  assert.equal(defaultControlSocket(mac), '/var/db/tunneld/control.sock');
  assert.equal(defaultStateDirectory(mac), '/var/db/tunneld');
  assert.equal(defaultLogFile(pi), null);
  assert.equal(defaultLogFile({ ...pi, env: { TUNNELD_LOG_FILE: '' } }), null);
  assert.equal(defaultLogFile({ ...pi, env: { TUNNELD_LOG_FILE: '/var/log/tunneld.log' } }), '/var/log/tunneld.log');
  assert.equal(defaultStateDirectory(root), '/var/lib/tunneld');
  assert.equal(defaultStateDirectory(unit), '/var/lib/tunneld');
  assert.equal(defaultStateDirectory(pi), '/home/pi/.local/state/tunneld');
});

test('puts ChaCha20 first when the processor does not compute AES and no ciphers are configured', () => {
  assert.equal(hasAes('flags\t\t: fpu sse2 aes avx\n'), true);
  assert.equal(hasAes('processor : 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n'), false);
  assert.equal(hasAes(null), true);
  assert.equal(completeServer('h', {}, { ...systemEnvironment(), aes: true }).ciphers, null);
  const [first, ...others] = completeServer('h', {}, { ...systemEnvironment(), aes: false }).ciphers ?? [];
  assert.equal(first, 'chacha20-poly1305@openssh.com');
  assert.ok(others.includes('aes128-gcm@openssh.com'));
  assert.equal(readAlgorithms('ciphers', false)('+3des-cbc')[0], first);
});

test('knows the ports of services when services(5) lists them', () => {
  const services = 'ssh\t\t22/tcp\t\t\t# SSH\nhttp 80/tcp www # web\ndomain 53/udp\n';
  assert.equal(servicePort('ssh', services), 22);
  assert.equal(servicePort('www', services), 80);
  assert.equal(servicePort('domain', services), null);
  assert.equal(servicePort('SSH', services), null);
});

test('takes $HOME in a path of ssh_config for a name, as ssh does, and says so', async (t) => {
  const file = join(await tempDir(t), 'config');
  writeFileSync(file, 'Host h\n  IdentityFile $HOME/.ssh/id\n  UserKnownHostsFile ~/known $HOME/known\n', {
    mode: 0o600,
  });
  const env = { ...systemEnvironment(), home: '/home/pi', directory: '/cwd' };
  const { tunnels, warnings } = await adHocConfig(['-F', file, '-R', '1:a:2', 'h'], 'h', env);
  assert.deepEqual(tunnels[0]?.identityFiles, ['/cwd/$HOME/.ssh/id']);
  assert.deepEqual(tunnels[0]?.userKnownHostsFiles, ['/home/pi/known', '/cwd/$HOME/known']);
  assert.deepEqual(
    warnings,
    [2, 3].map((line) => `${file}:${line}: $HOME in a path is not expanded, as in ssh: write \${HOME}`),
  );
});

test('expands no tokens of ssh_config when a path is of ours, says so, and leaves none in what is read there', async (t) => {
  const yaml = (keys: string) => `tunnels: { a: { host: h, sshConfig: none, remoteForward: "1:a:2", ${keys} } }`;
  const problemsOf = async (text: string) => {
    try {
      await parseConfig(text, '/etc/config.yaml', systemEnvironment());
      return '';
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.message;
    }
  };
  for (const [keys, token] of [
    ['identityFile: "%d/.ssh/id"', '%d'],
    ['identityFile: [a, "keys/id_%h"]', '%h'],
    ['userKnownHostsFile: "/var/%r@%h"', '%r'],
    ['passwordFile: "/run/%u/password"', '%u'],
    ['identityAgent: "%d/agent"', '%d'],
    ['localForward: "/run/%u.sock:/run/a"', '%u'],
  ] as const)
    assert.ok(
      (await problemsOf(yaml(keys))).includes(`has the token ${token} of ssh_config, which is not replaced`),
      keys,
    );
  assert.match(await problemsOf(`${yaml('port: 22')}\nstateDirectory: "%d/state"`), /has the token %d/);
  assert.equal(await problemsOf(yaml('identityFile: "/etc/100%done %%d %", proxyCommand: "nc %h %p"')), '');

  const file = join(await tempDir(t), 'config');
  // ssh -v -F says: identity file /home/pi/localhost-FOO%d
  writeFileSync(file, 'Host *\n  IdentityFile %d/%h-%n%%d\n  HostName LocalHost\n', { mode: 0o600 });
  const env = { ...systemEnvironment(), home: '/home/pi' };
  const { tunnels } = await adHocConfig(['-F', file, '-R', '1:a:2', 'FOO'], 'h', env);
  assert.deepEqual(tunnels[0]?.identityFiles, ['/home/pi/localhost-FOO%d']);
});

test('proposes a port that sshd opens for any user when a forward has no target', () => {
  for (const text of ['80:8080', '8080:80', '22', '8080', '*:443', '[::1]:80', 'gate:1023', '1024:1', '0']) {
    const [, proposed = ''] = /^has no target: write (\S+?),? /.exec(noTarget(text, 'a proxy')) ?? [];
    const { listen, target } = readForward('remote', proposed, String);
    assert.equal(target.type, 'tcp');
    assert.ok(listen.type === 'tcp' && (listen.port === 0 || listen.port >= 1024), `${text}: ${proposed}`);
  }
});
