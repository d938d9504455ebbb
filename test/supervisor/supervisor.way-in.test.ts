import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestSshd } from '../support/sshd.ts';
import { skippingClock } from '../support/skipping-clock.ts';
import { QUIET, startSupervised as start, TRIAL_MS } from '../support/supervised.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';

test('has a listener again when the change for which it was lent for good is taken back', async (t) => {
  const { apply, up, spec, ports, view } = await start(t);
  const before = [spec('a', [ports[0]]), spec('b', [ports[1]])];
  await apply(...before);
  await Promise.all([up('a'), up('b')]);
  await apply(spec('a', [ports[1]]), spec('b', [ports[0]], { port: await freePort() }));
  await until(() => view('a').state.phase === 'up' && view('a').previous.length === 0, { what: 'the half that works' });
  await apply(...before);
  await Promise.all([up('a'), up('b')]);
  assert.equal(await visit(ports[1], 'the way in'), 'the way in');
  assert.equal(await visit(ports[0], 'and the other'), 'and the other');
});

test('leaves tunnels none the worse when they were to become one and that is taken back', async (t) => {
  const { sshd, apply, up, spec, ports, view } = await start(t);
  const before = [spec('a', [ports[0]]), spec('b', [ports[1]])];
  await apply(...before);
  await Promise.all([up('a'), up('b')]);
  const sessions = sshd.sessions();
  await apply(spec('c', ports, { port: await freePort() }));
  await until(() => view('c').state.failure !== null, { what: 'the failure' });
  await apply(...before);
  assert.deepEqual([view('a').state.phase, view('b').state.phase], ['up', 'up']);
  assert.deepEqual(sshd.sessions(), sessions, 'to go back is no new start');
});

test('goes back without a new start also when the tunnel between had no listener in common', async (t) => {
  const { sshd, apply, up, spec, ports, view } = await start(t);
  const before = spec('a', [ports[0]]);
  await apply(before);
  await up('a');
  const sessions = sshd.sessions();
  await apply(spec('c', ports, { port: await freePort() }));
  await apply(spec('c', [ports[1]], { port: await freePort() }));
  assert.deepEqual(
    view('c').previous.map(({ spec: old }) => old.name),
    ['a'],
  );
  await apply(before);
  assert.equal(view('a').state.phase, 'up');
  assert.deepEqual(sshd.sessions(), sessions);
});

test('does not end a predecessor when its successor is up without its listener', async (t) => {
  const clock = skippingClock();
  const { sshd, apply, up, spec, ports, view } = await start(t, {}, clock);
  const loose = { ...QUIET, exitOnForwardFailure: false };
  await apply(spec('a', ports, loose));
  await up('a');
  await apply(spec('a', ports, { ...loose, identityFiles: [keyFor(sshd, ports[1])] }));
  await up('a');
  await until(() => (clock.skip(TRIAL_MS), visit(ports[0], 'the way in').catch(() => '')), {
    what: 'the old listener',
  });
  assert.equal(await visit(ports[1], 'the new one'), 'the new one');
  assert.deepEqual(
    view('a').previous.map(({ state }) => state.forwards[0]?.state),
    ['up'],
  );
});

test("gives a new tunnel its predecessor's listener at each of its logins", async (t) => {
  const clock = skippingClock();
  const { sshd, apply, up, spec, ports, view } = await start(t, {}, clock);
  await apply(spec('a', ports));
  await up('a');
  await apply(spec('a', [ports[0]], { port: await freePort() }));
  const b = spec('b', [ports[1]]);
  await apply(view('a').spec, b);
  await up('b');
  const last = sshd.sessions().at(-1)!;
  process.kill(last, 'SIGKILL');
  await until(() => sshd.sessions().length === 2 && !sshd.sessions().includes(last), { what: 'a new session' });
  await up('b');
});

test('does not lend a Unix socket of the server: it could not be had again', async (t) => {
  const { sshd, apply, up, spec, view } = await start(t);
  const path = join(sshd.dir, 'way-in.sock');
  const unix = (more: object) => {
    const one = spec('a', [1], more);
    return {
      ...one,
      forwards: one.forwards.map((forward) => ({ ...forward, listen: { type: 'unix' as const, path } })),
    };
  };
  await apply(unix({}));
  await up('a');
  await apply(unix({ serverAliveIntervalMs: 20_000 }));
  await until(() => view('a').state.forwards[0]?.state === 'refused', { what: 'the refusal' });
  const [{ state: old } = assert.fail()] = view('a').previous;
  assert.deepEqual([old.phase, old.forwards[0]?.state], ['up', 'up']);
});

/** A second key, which may have this listener alone. */
function keyFor(sshd: TestSshd, port: number): string {
  const file = join(sshd.dir, `key-${port}`);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  const line = `restrict,port-forwarding,permitopen="localhost:*",permitlisten="localhost:${port}" ${readFileSync(`${file}.pub`, 'utf8')}`;
  writeFileSync(sshd.authorizedKeysFile, `${readFileSync(sshd.authorizedKeysFile, 'utf8')}${line}`);
  return file;
}
