import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skippingClock } from '../support/skipping-clock.ts';
import { NO_SUSPECTS } from '../support/suspects.ts';
import { startSupervised } from '../support/supervised.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';

/** Only the first connection has its turn in good time. */
const ONE = { connectLimit: { count: 1, windowMs: 3_600_000 } };

test('shares the connection with its successor when a tunnel is replaced; the others notice nothing', async (t) => {
  const { apply, spec, up, view, ports, sshd } = await startSupervised(t);
  const port = await freePort();
  const [a, b] = [spec('a', [ports[0]], ONE), spec('b', [ports[1]], ONE)];
  await apply(a);
  await up('a');
  await apply(a, b);
  await up('b');
  assert.equal(view('b').state.carrier, 'a');
  await apply(a, spec('b', [ports[1], port], ONE));
  await up('b');
  await until(() => view('b').previous.length === 0, { what: 'the end of the one before' });
  assert.equal(view('b').state.carrier, 'a');
  for (const place of [...ports, port]) assert.equal(await visit(place, 'hello'), 'hello');

  // The tunnel that opened it changes, too, and goes on over its own connection, which the other has a share of.
  await apply(spec('a', [ports[0]], { ...ONE, verify: 'off' }), spec('b', [ports[1], port], ONE));
  await up('a');
  await until(() => view('a').previous.length === 0, { what: 'the end of the one before' });
  for (const place of [...ports, port]) assert.equal(await visit(place, 'hello'), 'hello');
  assert.equal(sshd.sessions().length, 1);
});

test('makes fresh connections when asked to, for those that share, each before the old one ends', async (t) => {
  const clock = skippingClock();
  const { apply, spec, up, view, supervisor, ports } = await startSupervised(t, {}, clock);
  const [a, b] = [spec('a', [ports[0]], ONE), spec('b', [ports[1]], ONE)];
  await apply(a);
  await up('a');
  await apply(a, b);
  await up('b');
  const before = view('a').state.sourcePort;
  assert.equal(view('b').state.sourcePort, before);
  await supervisor.reconnect();
  for (const name of ['a', 'b']) {
    // Each fresh connection has its turn after the hour of the limit.
    const isAnew = () => view(name).previous.length === 0 && view(name).state.phase === 'up';
    await until(() => (clock.skip(3_000_000, 4_000_000), isAnew()), { what: `${name} anew` });
    assert.notEqual(view(name).state.sourcePort, before);
  }
  for (const place of ports) assert.equal(await visit(place, 'hello'), 'hello');
});

test('gives a tunnel a connection of its own when it is suspected of having stopped the process', async (t) => {
  const holdBack = (name: string) => ({ ms: 0, why: name === 'suspect' ? 'it stopped the process twice' : null });
  const { apply, spec, up, view, ports } = await startSupervised(t, {}, undefined, { ...NO_SUSPECTS, holdBack });
  const [a, suspect] = [spec('a', [ports[0]], ONE), spec('suspect', [ports[1]], ONE)];
  await apply(a);
  await up('a');
  await apply(a, suspect);
  await until(() => view('suspect').state.retryAt !== null, { what: 'the wait for its own turn' });
  assert.equal(view('suspect').state.carrier, null);
  assert.equal(view('a').state.phase, 'up');
});
