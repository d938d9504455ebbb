import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { Connection } from 'ssh2';
import { NO_FACTS } from '../../src/doctor/source-port.ts';
import { checkTunnel } from '../../src/doctor/check-tunnel.ts';
import { STEPS, type Step } from '../../src/doctor/check.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { skippingClock } from '../support/skipping-clock.ts';
import { startSshd } from '../support/sshd.ts';
import { quietDevice, specFor } from '../support/tunnel.ts';
import { startFakeServer, startFakeSsh } from '../support/fake-server.ts';

/** Servers that neither agree nor refuse, each at another step; they call `stuck` where they leave a question open. */
const SERVERS: readonly {
  readonly name: string;
  readonly step: string;
  readonly cure: RegExp;
  readonly serve: ((connection: Connection, stuck: () => void) => void) | null;
}[] = [
  { name: 'says nothing', step: 'banner', cure: /lead to an SSH server/, serve: null },
  {
    name: 'does not answer the login',
    step: 'authentication',
    cure: /server's log/,
    serve: (connection, stuck) => connection.on('authentication', stuck),
  },
  {
    name: 'ends the connection instead of an answer to the login',
    step: 'authentication',
    cure: /server's log/,
    serve: (connection) => connection.on('authentication', () => connection.end()),
  },
  {
    name: 'ends the connection after the login',
    step: 'forward',
    cure: /server's log/,
    serve: (connection) =>
      connection.on('authentication', (attempt) => attempt.accept()).on('ready', () => connection.end()),
  },
  {
    name: 'does not answer when it is asked to listen',
    step: 'forward',
    cure: /server's log/,
    serve: (connection, stuck) => connection.on('authentication', (attempt) => attempt.accept()).on('request', stuck),
  },
  {
    name: 'does not answer for the second listener',
    step: 'forward',
    cure: /server's log/,
    serve: (connection, stuck) => {
      let asked = 0;
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', (_accept, reject) => {
        asked += 1;
        if (asked === 1) reject?.();
        else stuck();
      });
    },
  },
];

describe('doctor says where it stopped', { concurrency: 3 }, () => {
  for (const { name, step, cure, serve } of SERVERS) {
    test(`stops at one that ${name}`, async (t) => {
      const steps = await examine(t, serve);
      const failed = steps.filter((one) => one.result === 'fail' && !/refused/.test(one.seen));
      assert.deepEqual(
        failed.map((one) => one.step),
        [step],
        JSON.stringify(steps, null, 1),
      );
      assert.match(failed[0]?.cure ?? '', cure);
      const at = STEPS.indexOf(failed[0]!.step);
      for (const one of steps) {
        const place = STEPS.indexOf(one.step);
        if (place < at) assert.notEqual(one.result, 'fail', one.step);
        else if (place > at) assert.equal(one.result, 'skip', one.step);
      }
      // None of them is left out.
      const seen = new Set(steps.map((one) => one.step));
      assert.deepEqual(
        STEPS.slice(STEPS.indexOf('name')).filter((one) => !seen.has(one)),
        [],
      );
    });
  }
});

async function examine(t: TestContext, serve: (typeof SERVERS)[number]['serve']): Promise<readonly Step[]> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const clock = skippingClock();
  const stuck = () => setImmediate(() => clock.skip(TIMEOUT_MS));
  const { port } =
    serve === null
      ? await startFakeServer(t, (socket) => socket.once('data', stuck))
      : await startFakeSsh(t, sshd, (connection) => serve(connection, stuck));
  const steps: Step[] = [];
  await checkTunnel(
    specFor(
      sshd,
      [
        [8080, 1],
        [8081, 1],
      ],
      { port, strictHostKeyChecking: 'no', connectTimeoutMs: TIMEOUT_MS },
    ),
    {
      clock,
      log: createLogger('fatal', () => {}),
      identities: createIdentityCache(),
      device: quietDevice,
      ping: null,
      fromDaemon: null,
      sourcePort: NO_FACTS,
      onStep: (step) => steps.push(step),
    },
    new AbortController().signal,
  );
  return steps;
}

/** What the login, and the answer of a server that took it, may take as well. */
const TIMEOUT_MS = 30_000;
