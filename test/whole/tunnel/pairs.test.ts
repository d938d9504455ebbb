import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import type { TunnelSpec } from '../../../src/model/spec.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel, type TestTunnel } from '../../support/tunnel.ts';
import { until } from '../../support/until.ts';
import { everyPair, reset, type Pair } from './pairs.ts';
import { startMicrosocks, startTinyproxy } from '../../support/proxies.ts';

describe('every pair of listener and target', () => {
  test('lets resets, refusals and the end of the connection concern the visitor alone, and leaves nothing behind', async (t) => {
    const bugs = noteBugs(t);
    const sshd = await server(t);
    const { pairs, targets } = await everyPair(t);
    const tunnel = startTunnel(t, { ...specFor(sshd, [[0, 1]]), forwards: pairs.map(({ forward }) => forward) });
    await tunnel.untilPhase('up');
    const idle = async (what: string) => {
      await until(() => connections(tunnel) === 0 && targets.open() === 0, {
        what: () => `the ends after ${what}: ${busy(tunnel, pairs)}; ${targets.open()} targets`,
      });
    };
    await idle('the start');
    const atRest = descriptors();

    for (const pair of pairs) {
      const visitors = await Promise.all(Array.from({ length: 10 }, pair.open));
      await Promise.all(visitors.map((visitor) => flowing(visitor, pair.name)));
      for (const visitor of visitors) reset(visitor);
    }
    await idle('resets of visitors');

    // Before anybody has answered.
    for (const { forward } of pairs) {
      const { listen } = forward;
      for (let visits = 0; visits < 10; visits += 1) {
        const hasty = listen.type === 'tcp' ? connect(listen.port, listen.host) : connect(listen.path);
        await once(
          hasty.on('error', () => {}),
          'connect',
        );
        hasty.write('x');
        reset(hasty);
      }
    }
    await idle('visitors in a hurry');

    targets.resets = true;
    for (const pair of pairs) {
      const visitors = await Promise.all(Array.from({ length: 3 }, pair.open));
      await Promise.all(visitors.map((visitor) => closed(visitor.resume(), pair.name)));
    }
    await idle('resets of targets');

    await targets.close();
    for (const pair of pairs) {
      const visitors = await Promise.all(Array.from({ length: 3 }, pair.open));
      await Promise.all(visitors.map((visitor) => closed(visitor.resume(), pair.name)));
    }
    await idle('refusals');

    await until(() => descriptors() <= atRest, { what: () => `${descriptors()} descriptors to go back to ${atRest}` });
    assert.equal(tunnel.phases.filter((phase) => phase === 'up').length, 1, tunnel.phases.join(' '));
    assertNoBugs(tunnel, bugs);
  });

  for (const route of ['direct', 'jump', 'http', 'socks5', 'command'] as const) {
    test(`lets visitors go when the connection dies under them, and is back: ${route}`, async (t) => {
      const bugs = noteBugs(t);
      const sshd = await server(t);
      const { pairs, targets } = await everyPair(t);
      const changes = await way(t, sshd, route);
      const forwards = pairs.map(({ forward }) => forward);
      const tunnel = startTunnel(t, { ...specFor(sshd, [[0, 1]]), ...changes, forwards });
      const ups = () => tunnel.phases.filter((phase) => phase === 'up').length;
      await until(() => ups() === 1, { what: () => `the tunnel: ${tunnel.state().failure?.message}` });
      const idle = () => connections(tunnel) === 0 && targets.open() === 0;
      await until(idle, { what: 'the first questions to the targets to end' });
      const atRest = descriptors();
      const visitors = await Promise.all(pairs.map(({ open }) => open()));
      await Promise.all(visitors.map((visitor, index) => flowing(visitor, pairs[index]!.name)));
      const gone = visitors.map((visitor, index) => closed(visitor.resume(), pairs[index]!.name));
      sshd.killSessions();
      await Promise.all(gone);
      await until(() => ups() === 2, { what: () => `the tunnel again: ${tunnel.state().failure?.message}` });
      await until(idle, { what: () => `the ends: ${busy(tunnel, pairs)}; ${targets.open()} targets` });
      await until(() => descriptors() <= atRest, {
        what: () => `${descriptors()} descriptors to go back to ${atRest}`,
      });
      assertNoBugs(tunnel, bugs);
    });
  }
});

async function server(t: TestContext): Promise<TestSshd> {
  const sshd = await startSshd({ config: ['StreamLocalBindUnlink yes'] });
  t.after(() => sshd.stop());
  return sshd;
}

async function way(
  t: TestContext,
  sshd: TestSshd,
  route: 'direct' | 'jump' | 'http' | 'socks5' | 'command',
): Promise<Partial<TunnelSpec>> {
  const at = { host: '127.0.0.1', user: null, passwordFile: null };
  switch (route) {
    case 'direct':
      return {};
    case 'jump': {
      const gate = await startSshd();
      t.after(() => gate.stop());
      return { jumps: [specFor(gate, [[0, 1]])] };
    }
    case 'http':
      return { entry: { type: 'http', port: await startTinyproxy(t, sshd.port, false), ...at } };
    case 'socks5':
      return { entry: { type: 'socks5', port: await startMicrosocks(t), ...at } };
    case 'command':
      return { entry: { type: 'command', command: `nc 127.0.0.1 ${sshd.port}` } };
  }
}

/** Resolves when a visitor has got something, and stops its reading. */
async function flowing(visitor: Socket, what: string): Promise<void> {
  await until(() => visitor.bytesRead > 10_000 || visitor.read() !== null, { what: () => `a flow: ${what}` });
}

async function closed(visitor: Socket, what: string): Promise<void> {
  await until(() => visitor.destroyed || visitor.readableEnded, { what: `the end of a visitor: ${what}` });
  visitor.destroy();
}

function connections(tunnel: TestTunnel): number {
  return tunnel.state().forwards.reduce((sum, { counters }) => sum + counters.connections, 0);
}

function busy(tunnel: TestTunnel, pairs: readonly Pair[]): string {
  const { forwards } = tunnel.state();
  return pairs.flatMap(({ name }, index) => (forwards[index]!.counters.connections > 0 ? [name] : [])).join(', ');
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function noteBugs(t: TestContext): readonly unknown[] {
  const bugs: unknown[] = [];
  const onBug = (error: unknown) => bugs.push(error);
  process.on('uncaughtException', onBug).on('unhandledRejection', onBug);
  t.after(() => process.off('uncaughtException', onBug).off('unhandledRejection', onBug));
  return bugs;
}

function assertNoBugs(tunnel: TestTunnel, bugs: readonly unknown[]): void {
  assert.deepEqual(bugs, []);
  assert.deepEqual(
    tunnel.lines.filter(({ code }) => code === 'internal'),
    [],
  );
}
