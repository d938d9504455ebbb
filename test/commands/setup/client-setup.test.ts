import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { makeKey } from '../../support/login.ts';
import { startSshd } from '../../support/sshd.ts';
import { tunneld } from '../../support/tunneld.ts';
import { tempDir } from '../../support/until.ts';

test('says by which option another login is named when the laptop refuses the one of --install', async (t) => {
  const laptop = await startSshd();
  t.after(() => laptop.stop());
  const home = await tempDir(t);
  mkdirSync(join(home, '.ssh'), { mode: 0o700 });
  writeFileSync(join(home, '.ssh/known_hosts'), laptop.knownHostsLine());
  const config = join(home, 'config.yaml');
  writeFileSync(config, `tunnels:\n${tunnelYaml(laptop, 'relay', '8080:localhost:22')}`);
  const { code, stdout, stderr } = await tunneld(
    ['client-setup', 'relay', '--install', `nobody-here@127.0.0.1:${laptop.port}`, '--config', config],
    { env: { HOME: home, SSH_AUTH_SOCK: '', SUDO_USER: '' } },
  );
  assert.deepEqual([code, stdout], [1, ''], stderr);
  assert.match(stderr, /key-unreadable: .*\n.*name your own login on the laptop \(--install me@laptop\)/);
});

test('gives the laptop a spare host key only beside the one of its type that the server shows', async (t) => {
  const home = await tempDir(t);
  const config = join(home, 'config.yaml');
  const keys = ['ed25519', 'ecdsa', 'ed25519'].map((type, index) => {
    makeKey(home, `key${index}`, '-t', type);
    return readFileSync(join(home, `key${index}.pub`), 'utf8')
      .split(' ')
      .slice(0, 2)
      .join(' ');
  });
  const [spare = '', ecdsa = '', ed25519 = ''] = keys;
  writeFileSync(
    config,
    `tunnels: { relay: { host: relay.example, user: me, identityFile: ${home}/key0, userKnownHostsFile: ${home}/known, sshConfig: none, remoteForward: "8080:localhost:22" } }\n`,
  );
  const block = async (...lines: string[]) => {
    writeFileSync(join(home, 'known'), lines.map((line) => `relay.example ${line}\n`).join(''));
    const { code, stdout, stderr } = await tunneld(['client-setup', 'relay', '--config', config], {
      env: { HOME: home, SSH_AUTH_SOCK: '', SUDO_USER: '' },
    });
    assert.equal(code, 0, stderr);
    return keys.map((key) => stdout.includes(`relay.example ${key}`));
  };
  assert.deepEqual(await block(ecdsa, `${spare} spare-host-key`), [false, true, false]);
  assert.deepEqual(await block(ed25519, `${spare} spare-host-key`), [true, false, true]);
});
