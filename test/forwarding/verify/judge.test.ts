import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge } from '../../../src/forwarding/verify/judge.ts';
import { comesFrom, addressesOf } from '../../../src/forwarding/verify/addresses.ts';
import { resultOf, SILENT, type ProbedAddress, type ProbeResult } from '../../../src/forwarding/verify/results.ts';
import { type Endpoint, formatEndpoint } from '../../../src/model/endpoint.ts';

const at = (host: string): Endpoint => ({ type: 'tcp', host, port: 80 });

test('finds where the visitors of a listener arrive, also when GatewayPorts is no', () => {
  const cases: readonly (readonly [host: string, asked: string, instead: string, name: boolean])[] = [
    ['localhost', '127.0.0.1:80 [::1]:80', '', true],
    ['Localhost', '127.0.0.1:80 [::1]:80', '', true],
    ['', '127.0.0.1:80 [::1]:80', '', true],
    ['*', '127.0.0.1:80 [::1]:80', '', true],
    ['127.0.0.1', '127.0.0.1:80', '', false],
    ['::1', '[::1]:80', '', false],
    ['0.0.0.0', '127.0.0.1:80', '[::1]:80', true],
    ['::', '[::1]:80', '127.0.0.1:80', true],
    ['192.0.2.1', '192.0.2.1:80', '127.0.0.1:80 [::1]:80', true],
    ['relay.example', 'relay.example:80', '127.0.0.1:80 [::1]:80', true],
  ];
  const text = (places: readonly Endpoint[]) => places.map(formatEndpoint).join(' ');
  for (const [host, asked, instead, name] of cases) {
    const places = addressesOf({ ...at(host), port: 0 } as Endpoint, 80);
    assert.deepEqual(
      [text(places.requested), text(places.instead), places.name !== null],
      [asked, instead, name],
      host,
    );
  }
});

test('tells by its family where a visitor comes from, and by one place when that is a loopback address', () => {
  const cases: readonly (readonly [address: string, fits: readonly string[], not: readonly string[]])[] = [
    ['127.0.0.1', ['127.0.0.1:1', '127.9.9.9:1', '::ffff:127.0.0.1:1'], ['::1:1', '192.0.2.1:1', 'localhost:1']],
    ['::1', ['::1:1'], ['127.0.0.1:1', '2001:db8::1:1', '::ffff:127.0.0.1:1']],
    ['localhost', ['127.0.0.1:1', '::1:1'], ['192.0.2.1:1']],
    ['192.0.2.1', ['192.0.2.1:1', '192.0.2.7:1', '::ffff:192.0.2.1:1'], ['::1:1']],
    ['2001:db8::1', ['2001:db8::1:1'], ['192.0.2.1:1', '::ffff:127.0.0.1:1']],
    ['relay.example', ['192.0.2.1:1', '2001:db8::1:1'], []],
  ];
  for (const [place, fits, not] of cases) {
    for (const originator of fits) assert.equal(comesFrom(originator, at(place)), true, `${originator} at ${place}`);
    for (const originator of not) assert.equal(comesFrom(originator, at(place)), false, `${originator} at ${place}`);
  }
});

const RESULTS: Readonly<Record<string, ProbeResult>> = {
  ours: { type: 'ours' },
  hello: { type: 'other', who: 'it says hello', answered: true, alive: true, hostKey: null, own: false },
  silent: { type: 'other', who: SILENT, answered: false, alive: false, hostKey: null, own: false },
  nobody: { type: 'none' },
  slow: { type: 'unknown', why: 'slow', passing: true },
  forbidden: { type: 'unknown', why: 'forbidden', forbidden: true },
};

test('cancels a listener only when another program was seen to answer at each of its places', () => {
  const seen = (hosts: readonly string[], names: string): readonly ProbedAddress[] =>
    names
      .split(' ')
      .flatMap((name, index) => (name === '' ? [] : [{ address: at(hosts[index]!), result: RESULTS[name]! }]));
  const cases: readonly (readonly [asked: string, instead: string, auto: string, required: string])[] = [
    ['ours ours', '', 'up ours', 'up ours'],
    ['ours nobody', '', 'up ours', 'up ours'],
    ['nobody ours', '', 'up ours', 'up ours'],
    ['ours slow', '', 'up unseen unverified', 'refused unproven'],
    ['ours forbidden', '', 'up ours unverified', 'refused unproven'],
    ['ours hello', '', 'refused part', 'refused part'],
    ['silent ours', '', 'refused part', 'refused part'],
    ['hello hello', '', 'give back', 'give back'],
    ['hello nobody', '', 'give back', 'give back'],
    ['hello silent', '', 'refused part', 'refused part'],
    ['hello slow', '', 'refused part', 'refused part'],
    ['forbidden hello', '', 'refused part', 'refused part'],
    ['silent', '', 'refused part', 'refused part'],
    ['nobody nobody', '', 'up ours unverified misplaced', 'refused unproven'],
    ['forbidden forbidden', '', 'up ours unverified', 'refused unproven'],
    ['nobody', 'ours ours', 'up ours unverified misplaced', 'refused unproven'],
    ['nobody', 'ours forbidden', 'up ours unverified misplaced', 'refused unproven'],
    ['nobody', 'forbidden forbidden', 'up ours unverified', 'refused unproven'],
    ['slow', 'ours ours', 'up unseen unverified', 'refused unproven'],
    ['hello', 'ours ours', 'refused part', 'refused part'],
    ['hello', 'nobody forbidden', 'refused part', 'refused part'],
    ['nobody', 'hello hello', 'give back', 'give back'],
  ];
  for (const [asked, instead, auto, required] of cases) {
    const hosts = instead === '' ? ['127.0.0.1', '::1'] : ['192.0.2.1'];
    const result = resultOf(seen(hosts, asked), seen(['127.0.0.1', '::1'], instead));
    for (const [verify, wanted] of [
      ['auto', auto],
      ['required', required],
    ] as const) {
      const judgement = judge(at('localhost'), result, verify);
      const marks =
        judgement.type === 'refused'
          ? []
          : [...(judgement.unverified === null ? [] : ['unverified']), ...(judgement.misplaced ? ['misplaced'] : [])];
      const found = judgement.status === null ? 'give back' : [judgement.type, judgement.status, ...marks].join(' ');
      assert.equal(found, wanted, `${asked} | ${instead} (${verify})`);
    }
  }
});
