import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_FACTS, readSourcePortFacts, sourcePortStep } from '../../src/doctor/source-port.ts';
import { type SourcePortFacts } from '../../src/doctor/types.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';

const spec = { sourcePort: 'sticky', entry: { type: 'direct' } } as const;
const eviction = (seconds: number) => ({ port: 61_000, eviction: { day: '2026-01-31', seconds } });

for (const [what, sight, inUse, result, seen] of [
  [
    'nothing',
    {},
    false,
    'skip',
    /^the same one each time; whether a router .* changes it is not known: .* no dead connection has been in the way yet$/,
  ],
  ['a port', { port: 61_000 }, false, 'skip', /^61000 each time; whether a router on the way changes it is not known/],
  ['what nobody may read', { readable: false }, false, 'skip', /is not known: .* cannot be read$/],
  ['no router', { port: 61_000, sameNetwork: true }, false, 'ok', /^61000 each time; no router is on the way/],
  ['that it worked', eviction(2), false, 'ok', /on 2026-01-31 the server let go of a dead connection .* after 2 s$/],
  ['that it did not', eviction(43), false, 'warn', /after 43 s: a router on the way may change source ports$/],
  ['that it did not, with no router', { ...eviction(43), sameNetwork: true }, false, 'warn', /after 43 s/],
  ['a listener in use', { ...eviction(2), sameNetwork: true }, true, 'warn', /a listener is in use/],
] as const) {
  test(`reports on the source port: ${what}`, () => {
    const [step, found, text, cure] = sourcePortStep(spec, { ...NO_FACTS, ...sight } satisfies SourcePortFacts, inUse);
    assert.deepEqual([step, found], ['source port', result]);
    assert.match(text, seen);
    assert.equal(cure !== undefined, result === 'warn');
  });
}

test('says that the source port is any when there is none, or a proxyCommand', () => {
  assert.equal(sourcePortStep({ ...spec, sourcePort: 'any' }, NO_FACTS)[1], 'warn');
  const command = { type: 'command', command: 'true' } as unknown as TunnelSpec['entry'];
  assert.match(sourcePortStep({ ...spec, entry: command }, NO_FACTS)[2], /a connection of its own/);
});

test('takes the first machine on the way for next door when one of our networks has all its addresses', async () => {
  const { port, ...remembered } = { ...NO_FACTS, port: 61_000 };
  const sameNetwork = async (host: string, networks?: readonly string[], jump?: string) => {
    const jumps = jump === undefined ? [] : [{ host: jump }];
    const at = { host, jumps, entry: { type: 'direct' } } as unknown as TunnelSpec;
    const sight = await readSourcePortFacts(at, { port, ...remembered }, networks);
    assert.equal(sight.port, 61_000);
    return sight.sameNetwork;
  };
  const networks = ['192.0.2.5/24', '2001:db8::5/64'];
  assert.equal(await sameNetwork('192.0.2.77', networks), true);
  assert.equal(await sameNetwork('2001:db8::77', networks), true);
  assert.equal(await sameNetwork('198.51.100.1', networks), false);
  assert.equal(await sameNetwork('2001:db8:0:1::1', networks), false);
  assert.equal(await sameNetwork('no-such-host.invalid', networks), false);
  assert.equal(await sameNetwork('198.51.100.1', networks, '192.0.2.1'), true);
  assert.equal(await sameNetwork('192.0.2.1', networks, '198.51.100.1'), false);
  // This machine's own.
  assert.equal(await sameNetwork('127.0.0.1'), true);
});
