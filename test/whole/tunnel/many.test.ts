import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSshd } from '../../support/sshd.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { createTurns } from '../../../src/net/pacing/turns.ts';
import { descendantsOf, signalAll } from '../../support/processes.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';

test('brings fifty tunnels back when one sshd, which lets ten log in at a time, was restarted', async (t) => {
  // Its default (sshd_config(5)).
  const sshd = await startSshd({ config: ['MaxStartups 10:30:100'] });
  t.after(() => sshd.stop());
  const ports = new Set<number>();
  while (ports.size < 50) ports.add(await freePort());
  const tunnels = [...ports].map((port) => startTunnel(t, specFor(sshd, [[port, 9]])));
  // Fifty logins are seconds of a processor, of which there may be a part.
  const allUp = () => Promise.all(tunnels.map((tunnel) => tunnel.untilPhase('up', 180_000)));
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

test('does not wait as behind a limit when an sshd ends session by session soon after their start', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const turns = createTurns({ clock: systemClock, random: Math.random, icmpRefusals: () => 0 });
  const tunnels: TestTunnel[] = [];
  for (let index = 0; index < 6; index += 1)
    tunnels.push(startTunnel(t, specFor(sshd, [[await freePort(), 9]]), { device: { turns } }));
  for (const tunnel of tunnels) await tunnel.untilPhase('up');

  const [first, ...others] = sshd.sessions();
  sshd.killListener();
  const kill = (session: number) => signalAll([session, ...descendantsOf(session)], 'SIGKILL');
  kill(first!);
  const suspects = () => tunnels.find((tunnel) => tunnel.state().failure?.message.includes('most likely a limit'));
  const suspicious = await until(suspects, { what: 'a limit to be suspected while the others are there' });
  others.forEach(kill);
  const sooner = () => (suspicious.announced.at(-1)?.inMs ?? 0) < 5000 || suspicious.state().retryAt === null;
  await until(sooner, { what: 'its turn to come sooner', timeoutMs: 20_000 });
  await sshd.restart();
  for (const tunnel of tunnels) await tunnel.untilPhase('up', 25_000);
});
