import { createServer } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { auditTunnel } from '../../src/audit/audit.ts';
import { auditDocument, type FindingReport, type TunnelReport } from '../../src/audit/document.ts';
import { type Clock, systemClock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import { createTurns } from '../../src/net/pacing/turns.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../support/sshd.ts';
import { specFor } from '../support/tunnel.ts';
import { freePort, tempDir, until } from '../support/until.ts';

/** The port that the audited tunnels listen on; nothing really does, nor may another program: it would be taken for open to all. */
export const LISTEN = await freePort();

/** Audits one tunnel as the command does. */
export async function auditOf(
  spec: TunnelSpec,
  knownSockets?: readonly string[],
  clock: Clock = systemClock,
): Promise<TunnelReport> {
  const deps = {
    clock,
    // Of its own, as in a process of its own.
    turns: createTurns({ clock, random: Math.random, icmpRefusals: () => null }),
    log: createLogger('fatal', () => {}),
    identities: createIdentityCache(),
    ...(knownSockets === undefined ? {} : { knownSockets }),
  };
  const audit = await auditTunnel(spec, [spec], deps, new AbortController().signal);
  return auditDocument('1.2.3', [audit], [spec]).tunnels[0]!;
}

/** Starts a server, audits a tunnel to it, and ends it. */
export async function auditSshd(
  t: TestContext,
  options: SshdOptions,
  changes: Partial<TunnelSpec> = {},
  knownSockets?: readonly string[],
  clock: Clock = systemClock,
): Promise<{ readonly report: TunnelReport; readonly sshd: TestSshd }> {
  const sshd = await startSshd(options);
  t.after(() => sshd.stop());
  if (changes.host !== undefined) await sshd.waitForLog(new RegExp(`Server listening on ${changes.host}`));
  const report = await auditOf(
    specFor(sshd, [[LISTEN, 1]], { hostKeyAlias: '127.0.0.1', strictHostKeyChecking: 'no', ...changes }),
    knownSockets ?? [await someSocket(t)],
    clock,
  );
  // A session that is killed would leave the socket of its agent in /tmp.
  await until(() => sshd.sessions().length === 0, { what: 'the end of the sessions' });
  return { report, sshd };
}

/** For where another audit has the nameless socket, of which a machine has one. */
async function someSocket(t: TestContext): Promise<string> {
  const path = join(await tempDir(t), 'some.sock');
  const server = createServer((socket) => socket.on('error', () => {}).destroy()).listen(path);
  t.after(() => server.close());
  return path;
}

export function holesOf({ findings }: TunnelReport, verdict: FindingReport['verdict']): readonly string[] {
  return findings.filter((finding) => finding.verdict === verdict).map(({ hole }) => hole);
}
