import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../src/lib/log/log.ts';
import { createFailureLog } from '../../src/tunnel/failure-log.ts';
import { asFailure, hintFor, TunnelFailure } from '../../src/model/failure.ts';
import { fakeClock } from '../support/clock.ts';

const MINUTE = 60_000;
const WARN = 40;

function setUp() {
  const clock = fakeClock();
  const lines: Record<string, unknown>[] = [];
  const log = createLogger('debug', (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
  return {
    clock,
    failures: createFailureLog(log, clock, 'backup'),
    warnings: () => lines.filter((line) => line['level'] === WARN),
    lines,
  };
}

test('reports a failure once, with what to do and when it goes on, and then once an hour with a count', async () => {
  const { clock, failures, warnings, lines } = setUp();
  const refused = new TunnelFailure('connect-refused', '192.0.2.1:22: ECONNREFUSED');
  for (let minute = 0; minute < 150; minute++) {
    failures.log(refused, 60_049);
    await clock.advance(MINUTE);
  }
  assert.deepEqual(
    warnings().map((line) => [line['msg'], line['code'], line['retryInSeconds'], line['repeated']]),
    [
      [`192.0.2.1:22: ECONNREFUSED. ${refused.hint}`, 'connect-refused', 60, undefined],
      ['192.0.2.1:22: ECONNREFUSED', 'connect-refused', 60, 60],
      ['192.0.2.1:22: ECONNREFUSED', 'connect-refused', 60, 60],
    ],
  );
  assert.equal(lines.length, 150);
});

test('reports failures once each when they take turns', () => {
  const { failures, warnings } = setUp();
  for (let round = 0; round < 100; round++) {
    for (const port of [8080, 8081, 8082]) failures.log(new TunnelFailure('forward-refused', `port ${port}`));
  }
  assert.equal(warnings().length, 3);
});

test('reports the same failure as news when the tunnel was up meanwhile', () => {
  const { failures, warnings } = setUp();
  const lost = new TunnelFailure('keepalive-lost', 'nothing heard');
  failures.log(lost);
  failures.log(lost);
  failures.recovered();
  failures.log(lost);
  assert.equal(warnings().length, 2);
});

test('bounds the memory when a server has ever new words', () => {
  const { failures, warnings } = setUp();
  for (let round = 0; round < 1000; round++) failures.log(new TunnelFailure('disconnected', `reason ${round}`));
  assert.equal(warnings().length, 1000);
  failures.log(new TunnelFailure('disconnected', 'reason 999'));
  failures.log(new TunnelFailure('disconnected', 'reason 0'));
  assert.equal(warnings().length, 1001);
});

test('logs a bug with where it happened', () => {
  const { failures, lines } = setUp();
  failures.log(asFailure(new TypeError('x is not a function')));
  assert.match(JSON.stringify(lines[0]?.['error']), /failure-log\.test/);
});

test('names the tunnel in commands to be pasted', () => {
  const { failures, warnings } = setUp();
  failures.log(new TunnelFailure('host-key-changed', 'another key'));
  assert.match(String(warnings()[0]?.['msg']), /`sudo tunneld trust backup` \(without sudo/);
  assert.equal(hintFor('a', 'say `tunneld retry NAME --take` here, NAME'), 'say `tunneld retry a --take` here, NAME');
});
