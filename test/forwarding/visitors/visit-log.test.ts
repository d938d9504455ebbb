import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVisitLog } from '../../../src/forwarding/visitors/visit-log.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import { fakeClock } from '../../support/clock.ts';

type Line = Readonly<Record<string, unknown>>;

test('logs some pairs of lines a minute when visitors flood, and counts those left out in the next one', async () => {
  const { clock, log, lines } = scene();
  const ends = Array.from({ length: 5000 }, (_, index) => log.opened({ originator: `${index}`, target: 'x' }));
  assert.equal(lines.length, 60);
  for (const end of ends) end({ bytesIn: 1, bytesOut: 2, seconds: 3 }, 'closed');
  assert.equal(lines.length, 120);
  assert.deepEqual(lines.at(-1), {
    msg: 'connection ended: closed',
    level: 30,
    originator: '59',
    target: 'x',
    bytesIn: 1,
    bytesOut: 2,
    seconds: 3,
  });
  await clock.advance(60_000);
  log.opened({ originator: 'late', target: 'x' })({}, 'closed');
  assert.deepEqual(
    lines.slice(120).map(({ msg, suppressed }) => [msg, suppressed]),
    [
      ['connection opened', 4940],
      ['connection ended: closed', undefined],
    ],
  );
});

test('logs line by line when ordinary people visit', async () => {
  const { clock, log, lines } = scene();
  for (let page = 0; page < 100; page++) {
    const ends = Array.from({ length: 30 }, () => log.opened({ originator: 'a', target: 'x' }));
    for (const end of ends) end({}, 'closed');
    await clock.advance(60_000);
  }
  assert.equal(lines.length, 100 * 60);
  assert.ok(lines.every((line) => !('suppressed' in line)));
});

test('bounds lines of their own when visitors could not be served', () => {
  const { log, lines } = scene();
  for (let visitor = 0; visitor < 1000; visitor++) {
    log.opened({});
    log.rejected({}, 'the target refuses');
    log.overflow({}, 'too many at once');
  }
  const count = (text: string) => lines.filter(({ msg }) => msg === text).length;
  assert.deepEqual(['connection opened', 'the target refuses', 'too many at once'].map(count), [60, 20, 1]);
});

function scene() {
  const lines: Line[] = [];
  const clock = fakeClock();
  const log = createLogger('info', (line) => {
    const { time: _time, ...rest } = JSON.parse(line) as Line;
    lines.push(rest);
  });
  return { clock, lines, log: createVisitLog(log, clock) };
}
