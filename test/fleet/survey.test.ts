import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { Channel } from '../../src/connection/ssh/connection.ts';
import type { FleetDevice } from '../../src/fleet/document.ts';
import { lookAtPorts, type Sights } from '../../src/fleet/survey.ts';
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
