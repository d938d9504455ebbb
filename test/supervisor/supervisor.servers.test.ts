import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { systemClock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import type { Redundancy } from '../../src/model/redundancy.ts';
import type { Phase } from '../../src/model/state.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { createSupervisor } from '../../src/supervisor/supervisor.ts';
import { wholeTunnels } from '../../src/supervisor/whole-tunnels.ts';
import { startEcho } from '../support/echo.ts';
import { startRelay } from '../support/relay.ts';
import { startSshd } from '../support/sshd.ts';
import { NO_SUSPECTS } from '../support/suspects.ts';
import { quietDevice, specFor } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { visit } from '../support/visit.ts';

const NAMES = ['backup', 'backup@second'] as const;

/** A tunnel to two real servers, each behind a network of its own; their listeners have different ports, for both are this machine. */
async function start(t: TestContext, mode: Redundancy['mode']) {
  const servers = await Promise.all([startSshd(), startSshd()]);
  const relays = await Promise.all(servers.map((sshd) => startRelay(sshd)));
  const echo = await startEcho();
  const ports = [await freePort(), await freePort()] as const;
  const returns: Phase[] = [];
  const supervisor = createSupervisor({
    suspects: NO_SUSPECTS,
    clock: systemClock,
    random: Math.random,
    log: createLogger('info', (line) => {
      // Said when it is decided: what is seen later may have changed since.
      if (line.includes('the tunnel is back at')) returns.push(view(0).state.phase);
    }),
    identities: createIdentityCache(),
    device: quietDevice,
    ping: () => null,
  });
  t.after(async () => {
    await supervisor.stop();
    await Promise.all([...servers.map((sshd) => sshd.stop()), ...relays.map((relay) => relay.close()), echo.close()]);
  });
  const redundancy = { tunnel: 'backup', mode, afterMs: 200, backMs: 300 } as const;
  const spec = (index: 0 | 1, changes: Partial<TunnelSpec> = {}): TunnelSpec => ({
    ...specFor(servers[index], [[ports[index], echo.port]], {
      port: relays[index]!.port,
      // The end of a silent connection comes soon, that of a handshake as late as a slow machine needs.
      serverAliveIntervalMs: 1000,
      serverAliveCountMax: 2,
      connectTimeoutMs: 8000,
      reconnect: { minMs: 100, maxMs: 500 },
      redundancy,
      verify: 'auto',
      ...changes,
    }),
    name: NAMES[index],
  });
  const view = (index: 0 | 1) => supervisor.tunnels().find(({ spec: { name } }) => name === NAMES[index])!;
  const comesThrough = (index: 0 | 1) =>
    until(
      async () => {
        supervisor.retry(NAMES[index]);
        return (await visit(ports[index], 'hello')) === 'hello';
      },
      {
        what: () => `visitors through server ${index}: ${JSON.stringify(view(index).state, null, 1)}`,
      },
    );
  return { servers, relays, supervisor, ports, spec, view, comesThrough, returns };
}

const OUTAGES = {
  'its sshd ends': {
    break: async ({ servers }: Started) => await servers[0].kill(),
    mend: async ({ servers }: Started) => await servers[0].restart(),
  },
  'its machine refuses connections': {
    break: async ({ relays }: Started) => {
      await relays[0]!.refuse();
      relays[0]!.cut();
    },
    mend: async ({ relays }: Started) => await relays[0]!.accept(),
  },
  'its network is a black hole': {
    break: ({ relays }: Started) => Promise.resolve(relays[0]!.drop()),
    mend: ({ relays }: Started) => Promise.resolve(relays[0]!.heal()),
  },
} as const;

type Started = Awaited<ReturnType<typeof start>>;

test('failover goes on to the second server and comes back, in every outage of the first, and gives neither up between', async (t) => {
  const world = await start(t, 'failover');
  const { supervisor, spec, view, comesThrough, returns } = world;
  const idle: string[] = [];
  supervisor.subscribe(() => {
    if (supervisor.tunnels().every(({ standby }) => standby === true)) idle.push('no server is to have the tunnel');
  });
  await supervisor.apply([spec(0), spec(1)]);
  for (const [what, outage] of Object.entries(OUTAGES)) {
    await comesThrough(0);
    await until(() => view(1).standby === true && view(0).state.phase === 'up', { what: 'the first server alone' });
    assert.equal(view(1).state.phase, 'stopped', what);
    await outage.break(world);
    await comesThrough(1);
    await until(() => view(0).elsewhere !== undefined, { what: `what the first server says of the second: ${what}` });
    const [whole] = wholeTunnels(supervisor.tunnels());
    assert.deepEqual([whole?.spec.name, whole?.state.phase], ['backup', 'up'], what);
    await outage.mend(world);
  }
  await comesThrough(0);
  await until(() => view(1).standby === true, { what: 'the way back' });
  assert.equal(await visit(world.ports[0], 'back'), 'back');
  assert.deepEqual([idle, [...new Set(returns)]], [[], ['up']]);
});

test('a tunnel at all its servers has visitors through the second at once when the first is gone, however', async (t) => {
  const world = await start(t, 'all');
  const { supervisor, spec, view, comesThrough, ports } = world;
  await supervisor.apply([spec(0), spec(1)]);
  for (const [what, outage] of Object.entries(OUTAGES)) {
    await Promise.all([comesThrough(0), comesThrough(1)]);
    await outage.break(world);
    assert.equal(await visit(ports[1], 'at once'), 'at once', what);
    await until(() => view(0).elsewhere !== undefined, { what });
    assert.equal(view(1).state.phase, 'up', what);
    await outage.mend(world);
  }
  await comesThrough(0);
});

test('keeps the server that has the tunnel until another one has it when it is taken out of the configuration', async (t) => {
  const world = await start(t, 'failover');
  const { supervisor, relays, spec, view, comesThrough } = world;
  await relays[0]!.refuse();
  await supervisor.apply([spec(0), spec(1)]);
  await comesThrough(1);
  await until(() => view(1).state.phase === 'up', { what: 'the second server' });
  const { redundancy: _redundancy, ...alone } = spec(0);
  await supervisor.apply([alone]);
  await secondRunsOn(world);
});

test('keeps the server that has the tunnel when it is taken out while a change of the other one is taken back', async (t) => {
  const world = await start(t, 'failover');
  const { supervisor, relays, spec, view, comesThrough } = world;
  await supervisor.apply([spec(0), spec(1)]);
  await comesThrough(0);
  await until(() => view(0).state.phase === 'up', { what: 'the first server' });
  await relays[0]!.refuse();
  relays[0]!.cut();
  await comesThrough(1);
  await until(() => view(1).state.phase === 'up', { what: 'the second server' });
  await supervisor.apply([spec(0, { connectTimeoutMs: 8001 }), spec(1)]);
  assert.deepEqual(
    view(0).previous.map(({ spec: { connectTimeoutMs } }) => connectTimeoutMs),
    [8000],
  );
  await supervisor.apply([spec(0)]);
  await secondRunsOn(world);
});

/** The second server has the tunnel until the first one does. */
async function secondRunsOn({ view, ports, relays, comesThrough }: Awaited<ReturnType<typeof start>>): Promise<void> {
  assert.deepEqual(
    view(0).previous.map(({ spec: { name } }) => name),
    ['backup@second'],
  );
  assert.equal(await visit(ports[1], 'still'), 'still');
  await relays[0]!.accept();
  await comesThrough(0);
  await until(() => view(0).previous.length === 0, { what: 'the end of the second' });
}
