import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import type { Connection } from 'ssh2';
import { auditTunnel } from '../../../src/audit/audit.ts';
import type { TunnelAudit } from '../../../src/audit/findings/finding.ts';
import { createLogger } from '../../../src/lib/log/log.ts';
import { createIdentityCache } from '../../../src/connection/auth/identity-cache.ts';
import { startFakeSsh, type FakeServer } from '../../support/fake-server.ts';
import { skippingClock } from '../../support/skipping-clock.ts';
import { startSshd } from '../../support/sshd.ts';
import { specFor, testTurns } from '../../support/tunnel.ts';

describe('audit of servers that do not behave', { concurrency: 2 }, () => {
  test('asks once when a server refuses the login', async (t) => {
    const { audit, server } = await auditFake(t, (connection) =>
      connection.on('authentication', (attempt) => attempt.reject(['publickey'])),
    );
    assert.equal(audit.failure?.code, 'auth-rejected');
    assert.deepEqual(audit.findings, []);
    assert.equal(server.accepted(), 1);
  });

  test('finds no-credentials open when a server lets everybody in', async (t) => {
    const { audit } = await auditFake(t, letIn);
    assert.deepEqual(verdicts(audit, 'no-credentials'), ['open']);
    assert.deepEqual(verdicts(audit, 'password'), ['closed']);
    assert.equal(
      audit.findings.filter(({ verdict }) => verdict === 'unknown').length,
      0,
      JSON.stringify(audit.findings),
    );
  });

  test('leaves sessions unknown when the server grants one and then is silent', async (t) => {
    const { audit, server } = await auditFake(t, (connection, stuck) => {
      letIn(connection);
      connection.on('session', (accept) => {
        const session = accept();
        for (const event of ['exec', 'shell', 'sftp', 'pty', 'auth-agent', 'x11'] as const)
          session.on(event as 'exec', stuck);
      });
    });
    assert.deepEqual(verdicts(audit, 'command'), ['unknown']);
    assert.deepEqual(verdicts(audit, 'listen-port'), ['unknown']);
    assert.match(audit.findings[0]?.detail ?? '', /did not answer within 12 s/);
    assert.match(audit.findings.at(-4)?.detail ?? '', /not tried: the server did not answer before/);
    assert.equal(server.accepted(), 3);
  });

  test('goes on when a server hangs up after each session that it refused', async (t) => {
    const { audit } = await auditFake(t, (connection) => {
      letIn(connection);
      connection.on('session', (_, reject) => {
        reject();
        connection.end();
      });
    });
    for (const use of ['command', 'shell', 'sftp', 'terminal', 'agent', 'x11'])
      assert.deepEqual(verdicts(audit, use), ['closed'], use);
  });

  test('reports a server when it hangs up instead of an answer and then refuses every login', async (t) => {
    let logins = 0;
    const { audit, server } = await auditFake(t, (connection) => {
      connection.on('authentication', (attempt) => (++logins > 2 ? attempt.reject() : attempt.accept()));
      connection.on('session', (_accept, _reject) => connection.end());
    });
    assert.match(audit.findings[0]?.detail ?? '', /closed|ended/);
    assert.match(audit.findings[1]?.detail ?? '', /no connection: (?:auth-rejected|key-unreadable)/);
    assert.ok(audit.findings.slice(0, -3).every(({ verdict }) => verdict === 'unknown'));
    assert.equal(server.accepted(), 3);
  });
});

async function auditFake(
  t: TestContext,
  serve: (connection: Connection, stuck: () => void) => void,
): Promise<{ readonly audit: TunnelAudit; readonly server: FakeServer }> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const clock = skippingClock();
  const stuck = () => setImmediate(() => clock.skip(ATTEMPT_MS));
  const server = await startFakeSsh(t, sshd, (connection) => serve(connection, stuck));
  const spec = specFor(sshd, [[8080, 1]], { port: server.port });
  const deps = {
    clock,
    turns: testTurns(clock),
    log: createLogger('fatal', () => {}),
    identities: createIdentityCache(),
  };
  return { audit: await auditTunnel(spec, [spec], deps, new AbortController().signal), server };
}

function letIn(connection: Connection): void {
  connection.on('authentication', (attempt) => attempt.accept());
}

function verdicts({ findings }: TunnelAudit, hole: string): readonly string[] {
  return findings.filter((finding) => finding.hole === hole).map(({ verdict }) => verdict);
}

/** How long a server is given for each attempt. */
const ATTEMPT_MS = 12_000;
