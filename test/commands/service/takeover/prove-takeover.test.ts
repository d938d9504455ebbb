import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proveTakeover } from '../../../../src/commands/service/takeover/prove-takeover.ts';
import type { StatusDocument } from '../../../../src/status/document.ts';
import { fakeClock } from '../../../support/clock.ts';

const CONNECTED = { connected: true, refused: [] };

/** A daemon whose tunnels `a` and `other` say this; null does not answer. */
function daemon(phase: string, ...states: readonly string[]): StatusDocument {
  const forwards = states.map((state, index) => ({ kind: 'remote', listen: `localhost:${8080 + index}`, state }));
  const failure = { code: 'host-key-unknown', message: 'm' };
  return {
    tunnels: [
      { name: 'other', phase: 'waiting', forwards: [] },
      { name: 'a', phase, forwards, failure },
    ],
  } as never;
}

/** What comes of it, and after how many seconds. */
async function prove(old: { connected: boolean; refused: readonly string[] }, status: () => StatusDocument | null) {
  const clock = fakeClock();
  const outcomes: string[] = [];
  const done = proveTakeover(old, { clock, status: () => Promise.resolve(status()), tunnels: ['a'] }).then(
    () => outcomes.push('taken over'),
    (error: unknown) => outcomes.push(String(error)),
  );
  for (let waited = 0; outcomes.length === 0 && waited < 100; waited += 1) await clock.advance(1000);
  await done;
  return [outcomes[0], Math.round(clock.now() / 1000)];
}

test('ends a takeover when the new tunnel is as up as the old one was, and not before', async () => {
  assert.deepEqual(await prove(CONNECTED, () => daemon('up', 'up', 'up')), ['taken over', 1]);
  const notUp = /^Error: the new service is not as up as the old one was: a: .*, host-key-unknown: m$/;
  for (const phase of ['connecting', 'forwarding', 'waiting']) {
    const [outcome, seconds] = await prove(CONNECTED, () => daemon(phase, 'up', 'refused'));
    assert.match(String(outcome), notUp);
    assert.equal(seconds, 60);
  }
  assert.deepEqual(await prove(CONNECTED, () => null), [
    'Error: the new service is not as up as the old one was: it does not answer',
    60,
  ]);
});

test('accepts a refused listener when the server refused it to the old tunnel, too', async () => {
  const old = { connected: true, refused: ['8081'] };
  assert.deepEqual(await prove(old, () => daemon('up', 'up', 'refused')), ['taken over', 1]);
  assert.match(String((await prove(old, () => daemon('up', 'refused', 'refused')))[0]), /not as up/);
});

test('does not wait when a person must act', async () => {
  for (const connected of [true, false]) {
    const [outcome, seconds] = await prove({ connected, refused: [] }, () => daemon('blocked', 'pending'));
    assert.match(String(outcome), /a: blocked/);
    assert.equal(seconds, 1);
  }
});

test('a takeover goes on when the old tunnel had no connection either', async () => {
  assert.deepEqual(await prove({ connected: false, refused: [] }, () => daemon('waiting', 'pending')), [
    'taken over',
    10,
  ]);
  assert.match(String((await prove({ connected: false, refused: [] }, () => null))[0]), /does not answer/);
});
