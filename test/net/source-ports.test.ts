import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourcePorts, type SourcePortOptions } from '../../src/net/source-ports.ts';

const range = { low: 61_000, high: 65_535 };

const evictions: unknown[] = [];

function options(changes: Partial<SourcePortOptions> = {}): SourcePortOptions & { writes: number } {
  const memory = new Map<string, readonly number[]>();
  const all = {
    memory: {
      recall: (key: string) => memory.get(key) ?? [],
      remember: (key: string, ports: readonly number[]) => {
        all.writes += 1;
        memory.set(key, ports);
      },
      forget: (key: string) => void memory.delete(key),
      noteEviction: (key: string, eviction: object) => void evictions.push({ key, ...eviction }),
    },
    range,
    device: 'pi',
    random: () => 0.5,
    writes: 0,
    ...changes,
  };
  return all;
}

test('wants the same port as before when a device remembers nothing, and another device another one', () => {
  const port = sourcePorts('backup relay:22', options()).preferred();
  assert.equal(sourcePorts('backup relay:22', options()).preferred(), port);
  assert.notEqual(sourcePorts('backup relay:22', options({ device: 'other' })).preferred(), port);
  assert.notEqual(sourcePorts('other relay:22', options()).preferred(), port);
  for (const name of 'abcdefghijklmnopqrstuvwxyz') {
    const wanted = sourcePorts(name, options()).preferred();
    assert.ok(wanted >= range.low && wanted <= range.high, String(wanted));
  }
});

test('wants the port of the last connection next, and writes it once', () => {
  const all = options();
  const ports = sourcePorts('backup relay:22', all);
  ports.used(61_001);
  ports.used(61_001);
  assert.equal(ports.preferred(), 61_001);
  assert.equal(all.writes, 1);
});

test('keeps earlier ports, for a server that may still hold them, but not for ever', () => {
  const ports = sourcePorts('backup relay:22', options());
  for (const port of [61_001, 61_002, 61_003, 61_004, 61_003]) ports.used(port);
  assert.equal(ports.preferred(), 61_003);
  assert.deepEqual(ports.earlier(61_003), [61_004, 61_002]);
  assert.deepEqual(ports.earlier(61_009), [61_003, 61_004, 61_002]);
});

test('draws a fresh port from the whole range', () => {
  const drawn = (random: number) => sourcePorts('a', options({ random: () => random })).fresh();
  assert.deepEqual([drawn(0), drawn(0.9999999)], [range.low, range.high]);
});

test('keeps what was seen of a dead connection under the same name', () => {
  sourcePorts('backup relay:22', options()).evicted({ day: '2026-01-31', seconds: 2 });
  assert.deepEqual(evictions, [{ key: 'backup relay:22', day: '2026-01-31', seconds: 2 }]);
});
