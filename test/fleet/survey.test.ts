import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { Channel } from '../../src/connection/ssh/connection.ts';
import type { FleetDevice } from '../../src/fleet/document.ts';
import { createSurvey, lookAtPorts, type Sights } from '../../src/fleet/survey.ts';
import { administrator } from '../../src/commands/find/administrator.ts';
import { processTurns } from '../../src/commands/find/login-deps.ts';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { startSshd } from '../support/sshd.ts';
import { freePort, tempDir } from '../support/until.ts';
import { NEVER } from '../../src/lib/async/never.ts';
import { TunnelFailure } from '../../src/model/failure.ts';
import { fakeClock } from '../support/clock.ts';

test('waits for no port without a bound, and judges what it can see meanwhile', async () => {
  const warnings: Error[] = [];
  process.on('warning', (warning) => warnings.push(warning));
  const clock = fakeClock();
  const hung: ((channel: Channel) => void)[] = [];
  const open = (endpoint: unknown): Promise<Channel> => {
    const { port } = endpoint as { readonly port: number };
    if (port === 1000) return Promise.reject(new TunnelFailure('target-unreachable', 'refused'));
    return new Promise((resolve) => hung.push(resolve));
  };
  const devices = Array.from({ length: 1000 }, (_, index) => deviceAt(index + 1));
  const sights: Sights = new Map();
  let over = false;
  const look = lookAtPorts({ connection: { open }, lost: [] }, devices, sights, clock, NEVER).then(() => (over = true));
  await clock.advance(59_000);
  assert.deepEqual([over, [...sights.keys()]], [false, ['pi1000 1000']]);
  await clock.advance(1000);
  await look;
  assert.equal(clock.pending(), 0);

  // What the server opens at last is closed.
  let closed = 0;
  for (const resolve of hung) resolve({ close: () => (closed += 1) } as unknown as Channel);
  await clock.advance(0);
  assert.equal(closed, hung.length);
  assert.deepEqual(warnings, []);
});

test('says what to do when a login of a person fails, which is no tunnel', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const home = await tempDir(t);
  const admin = await administrator(`nobody-here@127.0.0.1:${sshd.port}`, { ...systemEnvironment(), home, env: {} });
  const log = createLogger('fatal', () => {});
  const deps = { clock: systemClock, turns: processTurns, log, identities: createIdentityCache() };
  const problemsOf = async (server: TunnelSpec) => (await createSurvey(server, deps).look(NEVER)).problems.join();
  assert.match(await problemsOf(admin), /^host-key-unknown: .*\. Log in to it with ssh first/);
  const known = { ...admin, strictHostKeyChecking: 'no' as const };
  assert.match(await problemsOf(known), /^key-unreadable: .*\. Name your own login on the server/);
  const closed = { ...admin, port: await freePort() };
  assert.match(await problemsOf(closed), /^connect-refused: .*\. Nothing listens on that port/);
});

test('ends when the connection does, or the caller, and says so', async () => {
  const open = () => new Promise<Channel>(() => {});
  const gone = Promise.reject(new TunnelFailure('keepalive-lost', 'gone'));
  await assert.rejects(
    lookAtPorts({ connection: { open }, lost: [gone] }, [deviceAt(1)], new Map(), fakeClock(), NEVER),
    {
      code: 'keepalive-lost',
    },
  );
  const caller = new AbortController();
  const silent = Object.assign(new PassThrough(), { close: () => {} }) as unknown as Channel;
  const look = lookAtPorts(
    { connection: { open: () => Promise.resolve(silent) }, lost: [] },
    [deviceAt(1)],
    new Map(),
    fakeClock(),
    caller.signal,
  );
  caller.abort(new Error('enough'));
  await assert.rejects(look, /enough/);
});

function deviceAt(port: number): FleetDevice {
  const name = `pi${port}`;
  const nothing = { host: 'localhost', verified: 'unknown', visitors: 0, key: '', troubles: [] } as const;
  return { device: name, user: name, port, state: 'up', ...nothing };
}
