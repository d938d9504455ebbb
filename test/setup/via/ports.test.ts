import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardPort, withPort } from '../../../src/setup/via/forward-port.ts';
import { commonFreePort, nextFreePort, promisedTo, readRange } from '../../../src/setup/via/ports.ts';

const FACTS = {
  promised: [
    { user: 'attic', host: 'localhost', port: 8080 },
    { user: 'cellar', host: '*', port: 8081 },
  ],
  listening: [22, 8082],
  range: { first: 8080, last: 8084 },
};

test("chooses a port that is neither promised nor in use, and a user's own when it has one", () => {
  assert.equal(nextFreePort(FACTS, 'new'), 8083);
  assert.equal(nextFreePort(FACTS, 'new', [8083]), 8084);
  assert.equal(nextFreePort(FACTS, 'new', [8083, 8084]), null);
  assert.equal(nextFreePort(FACTS, 'cellar'), 8081);
  assert.equal(nextFreePort(FACTS, 'cellar', [8081]), 8083);
  assert.equal(promisedTo(FACTS, 8080, 'new'), 'attic');
  assert.equal(promisedTo(FACTS, 8080, 'attic'), null);
  assert.equal(promisedTo(FACTS, 8083, 'new'), null);
});

test('chooses a port that is free at several servers alike when they have one', () => {
  const other = {
    promised: [{ user: 'new', host: '*', port: 8084 }],
    listening: [8083],
    range: { first: 8083, last: 9000 },
  };
  assert.equal(commonFreePort([FACTS], 'new'), 8083);
  assert.equal(commonFreePort([FACTS, other], 'new'), 8084);
  assert.equal(commonFreePort([FACTS, other], 'old'), null);
  assert.equal(commonFreePort([FACTS, other], 'new', [8084]), null);
});

test('takes for a range two ports that users may listen on', () => {
  assert.deepEqual(readRange(' 30000 - 30999\n'), { first: 30_000, last: 30_999 });
  for (const wrong of ['', '80-90', '9000-8000', '60000-70000', '8000', 'a-b'])
    assert.equal(readRange(wrong), null, wrong);
});

test('finds the port of a forward in all its forms, and replaces it alone', () => {
  for (const [forward, port, changed] of [
    ['8080:localhost:22', 8080, '9:localhost:22'],
    ['auto:localhost:22', 'auto', '9:localhost:22'],
    ['*:8080:localhost:22', 8080, '*:9:localhost:22'],
    ['[::1]:auto:[::1]:22', 'auto', '[::1]:9:[::1]:22'],
    ['localhost:1080:socks', 1080, 'localhost:9:socks'],
    ['8080:/run/a.sock', 8080, '9:/run/a.sock'],
    [':8080:8080:80', 8080, ':9:8080:80'],
  ] as const) {
    assert.equal(forwardPort(forward), port, forward);
    assert.equal(withPort(forward, 9), changed);
  }
  for (const without of ['/run/a.sock:localhost:22', '0:localhost:22'])
    assert.equal(forwardPort(without), null, without);
});
