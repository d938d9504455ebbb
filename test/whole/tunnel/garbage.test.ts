import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startEcho } from '../../support/echo.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

// As on a device that has few visitors, whose code is never optimized: there each of these would be kept.
setFlagsFromString('--no-opt');
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as (how?: { readonly type: 'minor' }) => void;

let sshd: TestSshd;
before(async () => {
  sshd = await startSshd();
});
after(() => sshd.stop());

test('leaves nothing of a visit that only a full garbage collection would take', async (t) => {
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const tunnel = startTunnel(t, specFor(sshd, [[port, echo.port]]));
  await tunnel.untilPhase('up');
  const visits = async (count: number) => {
    for (let i = 0; i < count; i++) assert.equal(await visit(port, 'hello'), 'hello');
    await until(() => tunnel.state().forwards[0]!.counters.connections === 0, { what: 'the ends' });
  };
  await visits(50);
  collect();
  const old = oldBytes();
  await visits(VISITS);
  // What is alive at the first is old after the second.
  collect({ type: 'minor' });
  collect({ type: 'minor' });
  const each = (oldBytes() - old) / VISITS;
  // Node.js's own sockets leave a quarter of it; a visit that is kept, twice as much.
  assert.ok(each < 15_000, `${each} bytes of each`);
});

const VISITS = 300;

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')!.space_used_size;
}
