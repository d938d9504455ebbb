import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSshd } from '../support/sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort } from '../support/until.ts';

test('fifty tunnels to one sshd, which lets ten log in at a time, all come back after its restart', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const ports = new Set<number>();
  while (ports.size < 50) ports.add(await freePort());
  const tunnels = [...ports].map((port) => startTunnel(t, specFor(sshd, [[port, 9]])));
  const allUp = () => Promise.all(tunnels.map((tunnel) => tunnel.untilPhase('up')));
  await allUp();

  await sshd.kill();
  await Promise.all(tunnels.map((tunnel) => tunnel.untilPhase('waiting')));
  await sshd.restart();
  const back = performance.now();
  await allUp();
  t.diagnostic(`all up ${((performance.now() - back) / 1000).toFixed(1)} s after the restart`);
  const turnedAway = sshd.log().match(/drop connection|past MaxStartups/g)?.length ?? 0;
  t.diagnostic(`${turnedAway} connections turned away`);
  assert.equal(sshd.sessions().length, 50);
});
