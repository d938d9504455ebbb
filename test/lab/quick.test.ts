import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { setUp, type Bench, type BenchOptions } from './bench.ts';
import type { LabClient } from './clients.ts';
import { FAULTS, runFault } from './faults.ts';
import { PATIENCE_MS, until } from '../support/until.ts';
import { mayBuildNetworks } from './lab-test.ts';

// How fast it was is for the lab to say; here it counts that it came back at all, long before anybody else would: the others begin anew after
// fifteen seconds, or when the server lets go of the port, which takes minutes.
const IN_TIME = 3;
const OTHERS_SECONDS = 15;

/** It need not be as exact as the lab's measures, and each look takes milliseconds of a processor. */
const LOOK_MS = 300;

/** So long a limit remembers connections at most: on a slow machine all that it lets in are used up before sshd is back. */
const LIMIT_MS = 60_000;

describe('faults in a real network', { concurrency: 6 }, () => {
  for (const [name, busy] of [
    ["server's session process killed", true],
    ['path lost 8 s', true],
    ['the same behind a NAT router', false],
    ["device's address changes; sshd frees the port after 10-15 s", false],
    ['the connection silently gone (half-open)', false],
  ] as const) {
    test(`is back when this happens: ${name}${busy ? ', with a busy connection' : ''}`, async (t) => {
      if (!mayBuildNetworks(t)) return;
      const fault = FAULTS.find((candidate) => candidate.name === name);
      assert.ok(fault);
      const [outcome] = await runFault(fault, ['tunneld'], { busy, phase: 0, lookMs: LOOK_MS });
      const { seconds, cut, output } = outcome ?? assert.fail('no outcome');
      assert.ok(
        seconds !== null && seconds <= Math.max(fault.wanted * IN_TIME, OTHERS_SECONDS),
        `${seconds} s\n${output}`,
      );
      if (fault.cutsNobody === true) assert.equal(cut, false, output);
      if (name.includes('address')) assert.match(output, /is no longer an address of this device/);
    });
  }

  for (const [what, spoil] of [
    ['with its state file', () => {}],
    ['with a damaged state file', (file: string) => writeFileSync(file, '{"lab ro')],
    ['without its state file', (file: string) => rmSync(file)],
  ] as const) {
    test(`is back when the device loses power and returns ${what}`, async (t) => {
      const bench = await built(t, { clients: ['tunneld'] });
      if (bench === null) return;
      const [client] = bench.clients;
      assert.ok(client);
      const stateFile = join(client.stateDirectory, 'source-ports.json');
      bench.startClients();
      await bench.untilUp();
      const remembered = await portsOf(client, 1);
      assert.match(readFileSync(stateFile, 'utf8'), /"lab root@10\.77\.2\.2:22": \[\s*\d+\s*\]/);
      await wait(1500);
      const before = bench.server.sessions();
      await bench.powerCut();
      spoil(stateFile);
      assert.deepEqual(bench.server.sessions(), before, 'the server knows nothing of it');
      await untilServedAgain(bench, true, bench.startClients);
      // What was lost was only the memory, which follows from the names again.
      assert.deepEqual(await portsOf(client, 1), remembered);
      assert.equal(bench.server.sessions().length, before.length);
    });
  }

  test('does not wait for a port when something on the way swallows it', async (t) => {
    const bench = await built(t, { clients: ['tunneld'] });
    if (bench === null) return;
    const [client] = bench.clients;
    assert.ok(client);
    bench.startClients();
    await bench.untilUp();
    const port = await onlyPort(client);
    await client.kill();
    bench.network.swallow(port);
    bench.startClients();
    await bench.untilUp();
    await portsOf(client, 2);
  });

  test('ends a dead connection also when the new one had to come from another port', async (t) => {
    const bench = await built(t, { clients: ['tunneld'] });
    if (bench === null) return;
    const [client] = bench.clients;
    assert.ok(client);
    bench.startClients();
    await bench.untilUp();
    await wait(1500);
    const port = await onlyPort(client);
    await bench.powerCut();
    bench.network.swallow(port);
    await untilServedAgain(bench, true, async () => {
      bench.startClients();
      await until(() => client.output().includes('forward-refused'), { what: () => `a refusal: ${client.output()}` });
      bench.network.swallow(null);
    });
    const memory = () => readFileSync(join(client.stateDirectory, 'source-ports.json'), 'utf8');
    const evicted = /"evictions": \{\s*"lab root@10\.77\.2\.2:22": \{\s*"day": "20..-..-..",\s*"seconds": \d+/;
    // The file is written after the tunnel is up.
    await until(() => evicted.test(memory()), { what: () => `an eviction: ${memory()}\n${client.output()}` });
  });

  test('sends no knock that is rejected behind `ufw limit` while sshd is away, and is back soon after it', async (t) => {
    const bench = await built(t, { clients: ['tunneld'] });
    if (bench === null) return;
    bench.network.limitConnections('ufw');
    bench.startClients();
    await bench.untilUp();
    await backUnrejected(bench, 6000);
  });

  test('meets `ufw limit` once when tunnels are many, says so, and shares the connections that it lets in', async (t) => {
    const bench = await built(t, { clients: ['tunneld'], tunnels: 20 });
    if (bench === null) return;
    bench.network.limitConnections('ufw');
    bench.startClients();
    const output = () => bench.clients[0]?.output() ?? '';
    await until(() => output().includes('A limit on new connections is suspected'), { what: output });
    await bench.untilUp(35_000 * IN_TIME);
    assert.doesNotMatch(output(), /Nothing listens on that port/);
    assert.ok(bench.server.sessions().length <= 9, output());
    assert.equal(bench.network.turnedAway(), 1);
    await bench.server.kill();
    await wait(3000);
    await bench.server.start();
    await bench.untilUp(35_000 * IN_TIME);
    assert.equal(bench.network.turnedAway(), 1, 'what is known of the limit is kept to');
  });

  test('keeps below a limit that drops what is above when connectLimit is set', async (t) => {
    const bench = await built(t, { clients: ['tunneld'], tunnel: ['connectLimit: 4/minute'] });
    if (bench === null) return;
    bench.network.limitConnections('hashlimit');
    bench.startClients();
    await bench.untilUp();
    await backUnrejected(bench, 3000);
  });

  for (const [from, named] of [
    ['device', /bytes sent are not acknowledged, though small packets were: the path most likely loses large ones/],
    ['server', /the server identified itself and fell silent: it hangs, or the path loses large packets/],
  ] as const)
    test(`names a path that loses large packets of the ${from} as likely, with the cure`, async (t) => {
      const bench = await built(t, { clients: ['tunneld'] });
      if (bench === null) return;
      bench.network.loseLarge(from, 600);
      bench.startClients();
      const output = () => bench.clients[0]?.output() ?? '';
      await until(() => output().includes('handshake-failed'), { what: output });
      await until(() => named.test(output()) && output().includes('tcp_mtu_probing=1'), { what: output });
    });

  test('keeps the connection when an uplink is so slow that answers wait behind megabytes', async (t) => {
    const bench = await built(t, { clients: ['tunneld'], tunnel: ['serverAliveInterval: 2'] });
    if (bench === null) return;
    bench.network.limitUplink(150);
    bench.startClients();
    await bench.untilUp();
    const downloading = bench.download(3_000_000);
    await wait(2000);
    // No byte is heard for ten seconds, but what is sent arrives.
    bench.network.muteServer(true);
    await wait(10_000);
    bench.network.muteServer(false);
    assert.equal(await downloading, 3_000_000);
    assert.doesNotMatch(bench.clients[0]?.output() ?? '', /keepalive-lost/);
  });
});

/** sshd goes for so long and comes back, and so does the tunnel; the limit rejected no connection. */
async function backUnrejected(bench: Bench, awayMs: number): Promise<void> {
  await bench.server.kill();
  await wait(awayMs);
  await untilServedAgain(bench, false, () => bench.server.start(), LIMIT_MS + PATIENCE_MS);
  assert.equal(bench.network.turnedAway(), 0);
}

/** Looks before it begins: a listener that changes hands at once would be taken for the one that was there before. */
async function untilServedAgain(
  bench: Bench,
  shy: boolean,
  begin: () => void | Promise<void>,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const observation = await bench.observe(shy);
  await begin();
  await observation.done(patienceMs);
  observation.stop();
  for (const client of bench.clients) assert.notEqual(observation.upAt(client), null, client.output());
}

/** The ports that it remembers, as soon as there are so many; the file is written after the tunnel is up. */
async function portsOf(client: LabClient, count: number): Promise<readonly number[]> {
  const path = join(client.stateDirectory, 'source-ports.json');
  let ports: readonly unknown[] = [];
  const read = () => {
    const lists = Object.values(JSON.parse(readFileSync(path, 'utf8')) as object);
    ports = lists.filter((list) => Array.isArray(list)).flat();
    return ports.length === count;
  };
  await until(read, { what: () => `${count} ports, but there are ${ports.join(' ')}; ${client.output()}` });
  return ports as readonly number[];
}

async function onlyPort(client: LabClient): Promise<number> {
  const [port] = await portsOf(client, 1);
  return port ?? assert.fail('no port is remembered');
}

async function built(t: TestContext, options: BenchOptions): Promise<Bench | null> {
  if (!mayBuildNetworks(t)) return null;
  const bench = await setUp({
    ...options,
    sshd: ['KexAlgorithms curve25519-sha256', ...(options.sshd ?? [])],
    lookMs: LOOK_MS,
  });
  t.after(() => bench.destroy());
  return bench;
}
