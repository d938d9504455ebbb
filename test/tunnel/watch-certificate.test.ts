import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { createLogger } from '../../src/lib/log/log.ts';
import type { CertificateFacts } from '../../src/model/certificate.ts';
import type { TunnelEvent } from '../../src/tunnel/store.ts';
import { watchCertificate } from '../../src/tunnel/watch-certificate.ts';
import { fakeClock } from '../support/clock.ts';
import { makeKey } from '../support/login.ts';
import { tempDir, until } from '../support/until.ts';

const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 0, 1);

test('warns with a tenth of the life of a certificate left, and stops when the file has a renewed one', async (t) => {
  const dir = await tempDir(t);
  const ca = makeKey(dir, 'ca', '-t', 'ed25519');
  const key = makeKey(dir, 'key', '-t', 'ed25519');
  const file = `${key}-cert.pub`;
  const certify = (end: string) =>
    execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'id', '-n', 'me', '-V', `20260101000000Z:${end}`, `${key}.pub`]);
  certify('20260111000000Z');
  const clock = fakeClock(START);
  const changes: Extract<TunnelEvent, { type: 'watched' }>['change'][] = [];
  const over = new AbortController();
  const store = {
    dispatch: (event: TunnelEvent) => {
      if (event.type === 'watched') changes.push(event.change);
    },
  };
  const facts: CertificateFacts = {
    file,
    keyId: 'id',
    serial: '0',
    principals: ['me'],
    authority: 'SHA256:x',
    validFrom: START,
    validUntil: START + 10 * DAY_MS,
    addresses: null,
    unknownOptions: [],
    forwards: true,
  };
  const watching = watchCertificate(facts, { clock, log: createLogger('fatal', () => {}), store }, over.signal).catch(
    () => {},
  );
  for (let day = 0; day < 8; day++) await clock.advance(DAY_MS);
  assert.deepEqual([changes.length, clock.pending()], [0, 1]);
  await clock.advance(DAY_MS);
  await until(() => changes.length > 0 && clock.pending() === 1, { what: 'the warning' });
  assert.match(
    changes[0]?.certificateProblem ?? '',
    /key-cert\.pub expires at 2026-01-11 00:00:00 UTC, in 24 h: renew it/,
  );
  certify('20260201000000Z');
  await clock.advance(600_000);
  await until(() => changes.at(-1)?.certificateProblem === null, { what: 'the end of the warning' });
  assert.equal(changes.at(-1)?.certificate?.validUntil, Date.UTC(2026, 1, 1));
  over.abort();
  await watching;
  assert.equal(clock.pending(), 0);
});
