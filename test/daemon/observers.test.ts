import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../support/daemon-config.ts';
import { listen } from '../support/listen.ts';
import { startSshd } from '../support/sshd.ts';
import { startDaemonProcess } from '../support/tunneld.ts';
import { freePort, tempDir, until } from '../support/until.ts';

test('lets metrics, heartbeat and the program follow a real tunnel, also after a reload', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const directory = await tempDir(t);
  const hook = join(directory, 'hook');
  writeFileSync(hook, '#!/bin/sh\necho "$TUNNELD_TUNNEL $TUNNELD_STATE $TUNNELD_CAUSE" >> "$0.log"\n');
  chmodSync(hook, 0o755);
  let beats = 0;
  const watcher = createServer((_, response) => {
    beats += 1;
    response.writeHead(beats === 1 ? 500 : 200).end();
  });
  const listening = await listen(watcher);
  t.after(() => watcher.close());
  const url = `http://127.0.0.1:${listening}/secret-uuid`;
  const port = await freePort();
  const tunnels = `tunnels:\n${tunnelYaml(sshd, 'backup', `${await freePort()}:localhost:${sshd.port}`)}`;
  const daemon = await startDaemonProcess(t, tunnels);
  await daemon.untilStatus(({ tunnels: [tunnel] }) => tunnel?.phase === 'up', 'up');
  await assert.rejects(fetch(`http://127.0.0.1:${port}/live`));

  daemon.writeConfig(
    `${tunnels}metrics: { listen: ${port} }\nheartbeat: { url: ${url}, every: 10 }\nonChange: { command: ${hook}, after: 0 }\n`,
  );
  assert.equal((await daemon.command('reload')).code, 0);
  const metrics = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  await until(async () => (await metrics().catch(() => '')) !== '', { what: 'the listener' });
  await until(async () => /^tunneld_tunnel_verified\{tunnel="backup"\} 1$/m.test(await metrics()), {
    what: 'verified',
  });
  const text = await metrics();
  assert.match(text, /^tunneld_tunnel_up\{tunnel="backup"\} 1$/m);
  assert.match(text, /^tunneld_tunnel_key_exchanges_total\{tunnel="backup",algorithm="[a-z0-9@.-]+"\} 1$/m);
  assert.match(text, /^process_resident_memory_bytes \d+$/m);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 200);

  const failed = await daemon.untilStatus(({ problems }) => problems !== undefined, 'the failed heartbeat');
  assert.deepEqual(failed.problems, ['heartbeat 127.0.0.1: it answers with status 500']);
  assert.ok(!daemon.stderr().includes('secret-uuid'), 'the URL is a secret');

  await sshd.kill();
  const heard = () => (existsSync(`${hook}.log`) ? readFileSync(`${hook}.log`, 'utf8') : '');
  await until(() => /^backup down (disconnected|connect-refused|)\n/.test(heard()), {
    what: () => `the program: ${heard()}`,
  });
  assert.equal((await fetch(`http://127.0.0.1:${port}/ready`)).status, 503);
  const check = await daemon.command('status', '--check');
  assert.equal(check.code, 2);
  assert.match(check.stdout, /^TUNNELD CRITICAL: 1 of 1 down: backup down for \d+s \(.*\)\|up=0;;;0;1\n$/);
  await sshd.restart();
  await until(() => heard().includes('backup up \n'), { what: 'the program again' });
  await daemon.untilStatus(({ problems }) => problems === undefined, 'a heartbeat that went well');
  const ok = await daemon.command('status', '--check', 'backup');
  assert.deepEqual([ok.code, ok.stdout], [0, 'TUNNELD OK: 1 of 1 up|up=1;;;0;1\n']);
  assert.equal((await daemon.command('status', '--check', 'nobody')).code, 3);
  const printed = await daemon.command('status', '--prometheus');
  assert.match(printed.stdout, /^tunneld_tunnel_outages_total\{tunnel="backup",cause="disconnected"\} 1$/m);

  daemon.signal('SIGTERM');
  assert.equal(await daemon.exited, 0);
});
