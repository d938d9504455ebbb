import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
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
