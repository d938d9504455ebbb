import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { startAnswersAfterEnd, startEcho } from '../support/echo.ts';
import { skippingClock } from '../support/skipping-clock.ts';
import { QUIET, startSupervised as start, TRIAL_MS, VISITORS_STAY_MS } from '../support/supervised.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';

test('ends a changed tunnel when its successor is up, and visitors hardly notice', async (t) => {
  const { sshd, apply, up, spec, ports } = await start(t);
  await apply(spec('a', [ports[0]]));
  await up('a');
  const [before] = sshd.sessions();
  assert.ok(before);
  await apply(spec('a', [ports[0]], { serverAliveIntervalMs: 20_000 }));
  assert.equal(await visit(ports[0], 'still the old one'), 'still the old one');
  await until(() => !sshd.sessions().includes(before), { what: 'the end of the old session' });
  await up('a');
  assert.equal(await visit(ports[0], 'the new one'), 'the new one');
  const log = sshd.log();
  const logins = [...log.matchAll(/Accepted publickey/g)].map(({ index }) => index);
  assert.equal(logins.length, 2);
  assert.ok(log.search(/Received disconnect|Connection closed by user|disconnected by user/) > logins[1]!);
});

test('serves visitors of the old tunnel to the end, unless it is stopped or they take long', async (t) => {
  const clock = skippingClock();
  const { sshd, apply, up, spec, ports, supervisor } = await start(t, {}, clock);
  const answer = await startAnswersAfterEnd();
  t.after(() => answer.close());
  const leadingTo = (changes: Partial<TunnelSpec>) => {
    const made = spec('a', [ports[0]], changes);
    return { ...made, forwards: made.forwards.map((one) => ({ ...one, target: { ...TARGET, port: answer.port } })) };
  };
  const begin = async () => {
    const socket = connect({ port: ports[0], host: '127.0.0.1', allowHalfOpen: true });
    const words = text(socket);
    words.catch(() => {});
    const before = answer.received();
    socket.write('a long ');
    await until(() => answer.received() > before, { what: 'the visit' });
    return { socket, words };
  };
  await apply(leadingTo({}));
  await up('a');
  const served = await begin();
  const [first] = sshd.sessions();
  await apply(leadingTo({ serverAliveIntervalMs: 20_000 }));
  await up('a');
  served.socket.end('story');
  assert.equal(await served.words, 'a long story');
  await until(() => !sshd.sessions().includes(first!), { what: 'the end of the old session' });

  const stays = await begin();
  await apply(leadingTo({ serverAliveIntervalMs: 30_000 }));
  await up('a');
  assert.equal(sshd.sessions().length, 2, 'one for the visitor who stays');
  await until(() => (clock.skip(VISITORS_STAY_MS), sshd.sessions().length === 1), { what: 'an end of the patience' });
  await stays.words.catch(() => {});

  const last = await begin();
  await apply(leadingTo({ serverAliveIntervalMs: 40_000 }));
  await up('a');
  await supervisor.stop();
  await last.words.catch(() => {});
  await until(() => sshd.sessions().length === 0, { what: 'the end of all sessions' });
});

test('leaves the old tunnel in its place, and says so, when the change cannot work', async (t) => {
  const { sshd, apply, up, spec, ports, view } = await start(t);
  const good = spec('a', [ports[0]]);
  await apply(good);
  await up('a');
  const before = view('a').state.sourcePort;
  await apply(spec('a', [ports[0]], { port: await freePort() }));
  await until(() => view('a').state.failure?.code === 'connect-refused', { what: 'the failure' });
  assert.equal(await visit(ports[0], 'still there'), 'still there');
  assert.deepEqual(
    view('a').previous.map(({ spec: old, state }) => [old, state.phase]),
    [[good, 'up']],
  );
  sshd.killSessions();
  const old = () => view('a').previous[0]?.state;
  await until(() => old()?.phase === 'up' && old()?.sourcePort !== before, { what: 'a new session of the old one' });

  const [now] = sshd.sessions();
  await apply(good);
  assert.deepEqual([view('a').state.phase, view('a').previous], ['up', []]);
  assert.deepEqual(sshd.sessions(), [now], 'to go back is no new start');

  await apply(spec('a', [ports[0]], { port: await freePort() }));
  await apply(spec('a', [ports[1]]));
  await up('a');
  await until(() => sshd.sessions().length === 1, { what: 'the end of the old one' });
  await assert.rejects(visit(ports[0], 'gone?'));
  assert.equal(await visit(ports[1], 'moved'), 'moved');
});

test('hands a listener over also when one server has two names', async (t) => {
  const { sshd, apply, up, spec, ports } = await start(t);
  await apply(spec('a', [ports[0]]));
  await up('a');
  await apply(
    spec('a', [ports[0]], { host: 'localhost', addressFamily: 'inet', hostKeyAlias: `[127.0.0.1]:${sshd.port}` }),
  );
  await up('a');
  await until(() => sshd.sessions().length === 1, { what: 'the end of the old session' });
  assert.equal(await visit(ports[0], 'hello'), 'hello');
});

test('hands listeners over when tunnels change places, and when one changes its name', async (t) => {
  const { apply, up, spec, ports, view, names } = await start(t);
  await apply(spec('a', [ports[0]]), spec('b', [ports[1]]));
  await Promise.all([up('a'), up('b')]);
  await apply(spec('a', [ports[1]]), spec('b', [ports[0]]));
  await Promise.all([up('a'), up('b')]);
  await until(() => view('a').previous.length + view('b').previous.length === 0, { what: 'the end of the old ones' });
  assert.equal(await visit(ports[0], 'one'), 'one');
  assert.equal(await visit(ports[1], 'two'), 'two');

  const plan = await apply(spec('c', [ports[0], ports[1]]));
  assert.deepEqual([plan.added, plan.removed], [['c'], ['a', 'b']]);
  assert.deepEqual(
    view('c').previous.map(({ spec: old }) => old.name),
    ['a', 'b'],
  );
  assert.equal(await visit(ports[0], 'three'), 'three');
  await up('c');
  assert.deepEqual(names(), ['c']);
  assert.equal(await visit(ports[1], 'four'), 'four');
});

test('gives a listener back to the old login when the new one may not have it', async (t) => {
  const key = 'second_key';
  const clock = skippingClock();
  const { sshd, apply, up, spec, ports, view } = await start(t, {}, clock);
  const file = join(sshd.dir, key);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  const line = `restrict,port-forwarding,permitlisten="localhost:1" ${readFileSync(`${file}.pub`, 'utf8')}`;
  writeFileSync(sshd.authorizedKeysFile, `${readFileSync(sshd.authorizedKeysFile, 'utf8')}${line}`);
  await apply(spec('a', [ports[0]], QUIET));
  await up('a');
  await apply(spec('a', [ports[0]], { ...QUIET, identityFiles: [file] }));
  await until(() => view('a').state.forwards[0]?.state === 'refused', { what: 'the refusal' });
  await until(() => (clock.skip(TRIAL_MS), view('a').previous[0]?.state.phase === 'up'), {
    what: 'the old one to have it again',
  });
  assert.equal(view('a').state.phase, 'forwarding');
  assert.equal(await visit(ports[0], 'the way in'), 'the way in');
});

test('does not keep a tunnel beside its replacement when it never worked', async (t) => {
  const { apply, up, spec, ports, view } = await start(t);
  await apply(spec('a', [ports[0]], { port: await freePort() }));
  await until(() => view('a').state.failure !== null, { what: 'the failure' });
  await apply(spec('a', [ports[0]]));
  assert.deepEqual(view('a').previous, []);
  await up('a');
});

test('hands local listeners over, too, when a tunnel is replaced', async (t) => {
  const { apply, up, spec, ports, view } = await start(t);
  const local = (target: number) => ({
    forwards: [
      {
        kind: 'local' as const,
        listen: { type: 'tcp' as const, host: '127.0.0.1', port: ports[0] },
        target: { type: 'tcp' as const, host: '127.0.0.1', port: target },
      },
    ],
  });
  const others = [await startEcho(), await startEcho()] as const;
  t.after(() => Promise.all(others.map((echo) => echo.close())));
  await apply(spec('a', [ports[0]], local(others[0].port)));
  await up('a');
  await apply(spec('a', [ports[0]], local(others[1].port)));
  await until(() => view('a').state.phase === 'up' && view('a').previous.length === 0, { what: 'the new one' });
  assert.equal(await visit(ports[0], 'hello'), 'hello');
});

test('ends everything when the supervisor ends, also in the middle of a change', async (t) => {
  const { sshd, apply, up, spec, ports, supervisor } = await start(t);
  await apply(spec('a', [ports[0]]));
  await up('a');
  const applied = apply(spec('a', [ports[0]], { serverAliveIntervalMs: 20_000 }), spec('b', [ports[1]]));
  await supervisor.stop();
  await applied;
  await supervisor.stop();
  await until(() => sshd.sessions().length === 0, { what: 'the end of all sessions' });
});

const TARGET = { type: 'tcp', host: '127.0.0.1' } as const;
