import assert from 'node:assert/strict';
import { pbkdf2 } from 'node:crypto';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { keepLocalListeners } from '../../../src/forwarding/listeners/local-listeners.ts';
import { createSuspendableListeners } from '../../../src/forwarding/listeners/suspendable-listeners.ts';
import { systemClock } from '../../../src/lib/async/clock.ts';
import { freePort, until } from '../../support/until.ts';

test('ends at once while the name of a listener is still looked up, and closes it when it opens late', async () => {
  // getaddrinfo(3) runs in Node's pool of four threads, which have other work for a while.
  let blocked = 8;
  for (let job = blocked; job > 0; job -= 1) pbkdf2('password', 'salt', 150_000, 32, 'sha512', () => (blocked -= 1));
  const port = await freePort();
  const over = new AbortController();
  const events: string[] = [];
  const ends = keepLocalListeners(
    [
      {
        kind: 'local',
        listen: { type: 'tcp', host: hostname(), port },
        target: { type: 'tcp', host: 'localhost', port: 1 },
      },
    ],
    {
      clock: systemClock,
      random: Math.random,
      sockets: { family: 4, replace: false, mask: 0o177 },
      access: createSuspendableListeners(systemClock),
      onVisitor: (_, socket) => socket.destroy(),
      onUp: () => events.push('up'),
      onRefused: () => events.push('refused'),
      onSuspended: () => {},
      onAnswered: () => {},
    },
    over.signal,
  );
  setImmediate(() => over.abort(new Error('over')));
  await assert.rejects(ends, /^Error: over$/);
  // The look-up is the ninth: it begins when five have ended.
  assert.ok(blocked > 3, 'the look-up was still to come');
  await until(() => blocked === 0, { what: 'the threads' });
  await until(() => refuses(port), { what: 'the late listener to be closed' });
  assert.deepEqual(events, []);
});

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname(), family: 4, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}
