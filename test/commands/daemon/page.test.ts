import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

test('prints a link that lets in once; a cookie is worth nothing when a reload has found another token', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const tunnels = `tunnels:\n${tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:${sshd.port}`)}`;
  const daemon = await startDaemonProcess(t, tunnels);
  const none = await daemon.command('page');
  assert.equal(none.code, 1);
  assert.match(none.stderr, /no page is served: add `metrics: /);

  const port = await freePort();
  const tokenFile = join(await tempDir(t), 'token');
  daemon.writeConfig(`${tunnels}metrics: { listen: 127.0.0.1:${port}, tokenFile: ${tokenFile} }\n`);
  assert.equal((await daemon.command('reload')).code, 0);
  const link = await until(async () => /^http:\S+key=\S+$/m.exec((await daemon.command('page')).stdout)?.[0], {
    what: 'a link',
  });
  assert.ok(link.startsWith(`http://127.0.0.1:${port}/?key=`), link);
  assert.equal(statSync(tokenFile).mode & 0o777, 0o600);
  const follow = (url: string, cookie = '') => fetch(url, { redirect: 'manual', headers: { cookie } });
  const answer = await follow(link);
  assert.equal(answer.status, 303);
  const [cookie = ''] = (answer.headers.get('set-cookie') ?? '').split(';');
  assert.equal((await follow(link)).status, 401);
  const page = `http://127.0.0.1:${port}/`;
  assert.equal((await follow(page, cookie)).status, 200);
  assert.equal((await follow(page)).status, 401);

  // Nothing in the configuration has changed.
  assert.equal((await daemon.command('reload')).code, 0);
  assert.equal((await follow(page, cookie)).status, 200);
  writeFileSync(tokenFile, 'another-token-of-more-than-20-characters\n');
  assert.equal((await daemon.command('reload')).code, 0);
  await until(async () => (await follow(page, cookie)).status === 401, { what: 'the new token' });
  const authorization = 'Bearer another-token-of-more-than-20-characters';
  assert.equal((await fetch(page, { headers: { authorization } })).status, 200);
});

test('says why there is no page, and how to reach one at a Unix socket', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const tunnels = `tunnels:\n${tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:${sshd.port}`)}`;
  const port = await freePort();
  const occupant = createServer().listen(port, '127.0.0.1');
  t.after(() => occupant.close());
  const daemon = await startDaemonProcess(t, `${tunnels}metrics: { listen: ${port} }\n`);
  const why = await until(
    async () => /no page is served: .*another program.*/.exec((await daemon.command('page')).stderr)?.[0],
    {
      what: 'the reason',
    },
  );
  assert.match(why, new RegExp(`metrics localhost:${port}: another program listens there`));

  const path = join(daemon.dir, 'page.sock');
  daemon.writeConfig(`${tunnels}metrics: { listen: ${path} }\n`);
  assert.equal((await daemon.command('reload')).code, 0);
  const answer = await until(
    async () => {
      const result = await daemon.command('page');
      return result.code === 0 && result;
    },
    { what: 'the socket' },
  );
  assert.equal(answer.stdout, 'http://localhost:9180/\n');
  assert.ok(answer.stderr.includes(`ssh -L 9180:${path} `), answer.stderr);
});
