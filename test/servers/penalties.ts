/**
 * What an sshd of today (OpenSSH 9.8 and later, PerSourcePenalties) thinks of a process whose tunnels fail in every way: run by
 * `npm run test:trixie`, as root, with the sshd of that folder. All tunnels come from one address, and a login that is good must not suffer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { type ModernSshd, startModernSshd } from '../support/modern-sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';

/** It says at each failure what it holds against the address, and then that it acts upon it. */
const SHUT_OUT = /activating|drop connection/;

const SECONDS = Number(process.env['SECONDS'] ?? 60);

const many = (count: number) => Array.from({ length: count }, (_, index) => index);

for (const [what, changes] of [
  [
    'wrong keys and users',
    (sshd: ModernSshd) => [
      ...many(8).map(() => ({ identityFiles: [sshd.wrongKey] })),
      ...many(4).map((index) => ({ user: `nobody-of-that-name-${index}` })),
    ],
  ],
  [
    'connections that end before a login',
    (sshd: ModernSshd) => many(40).map(() => ({ userKnownHostsFiles: [sshd.wrongKnownHosts] })),
  ],
] as const)
  test(`a good login is never refused for ${what} of others`, { timeout: 300_000 }, async (t) => {
    const sshd = await startModernSshd(t);
    const tunnel = async (name: string, changed: Partial<TunnelSpec> = {}) =>
      startTunnel(t, specFor(sshd, [[await freePort(), 1]], { name, ...changed }));
    const good = await tunnel('good');
    await good.untilPhase('up');
    const bad = await Promise.all(changes(sshd).map((changed, index) => tunnel(`bad-${index}`, changed)));
    const end = performance.now() + SECONDS * 1000;
    for (let round = 0; performance.now() < end; round += 1) {
      await wait(5000);
      // A person tries again with some.
      for (const index of many(bad.length / 4)) bad[(round + 4 * index) % bad.length]?.retryNow();
      sshd.killSessions();
      await until(() => good.state().phase !== 'up', { what: 'the loss of the good one' });
      // Its turn may have to wait for what the others have begun, half a minute at most.
      await good.untilPhase('up', 40_000);
      assert.doesNotMatch(sshd.log(), SHUT_OUT);
    }
    assert.ok(bad.every(({ state }) => state().lastUp === null));

    // It does mind those who do not care.
    for (const _ of many(6)) sshd.failToLogIn();
    await until(() => SHUT_OUT.test(sshd.log()), { what: () => `a penalty: ${sshd.log().slice(-3000)}` });
  });
