import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { test } from 'node:test';
import { changeConfig } from '../../../src/commands/setup/change-config.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { listen } from '../../support/listen.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort } from '../../support/until.ts';

test('leaves nothing for a person to clear away, even when it is killed while the daemon tries the configuration', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  t.after(() => server.close());
  const silent = await listen(server);
  const daemon = await startDaemonProcess(
    t,
    `tunnels:\n${tunnelYaml(sshd, 'relay', `${await freePort()}:localhost:22`)}`,
  );
  await daemon.untilStatus(({ tunnels: [one] }) => one?.phase === 'up', 'up');
  const before = readFileSync(daemon.configFile, 'utf8');
  const files = () => readdirSync(daemon.dir).filter((name) => name.includes(basename(daemon.configFile)));
  const changed = changeConfig(daemon.configFile, daemon.configFile, before.replace(/port: \d+/, `port: ${silent}`));
  changed.catch(() => {});
  await daemon.untilStatus(({ trial }) => trial !== undefined, 'the trial');
  // The next change, and the next start, remove the candidate.
  const isCandidate = (name: string) => name.endsWith('.candidate');
  assert.deepEqual(
    files().filter((name) => !isCandidate(name)),
    [basename(daemon.configFile)],
  );
  assert.equal((await daemon.command('reload')).code, 0);
  await assert.rejects(changed, /what ran before runs again/);
  assert.deepEqual(files(), [basename(daemon.configFile)]);
  assert.equal(readFileSync(daemon.configFile, 'utf8'), before);
});
