import type { TestContext } from 'node:test';
import { systemClock, type Clock } from '../../src/lib/async/clock.ts';
import { createLogger } from '../../src/lib/log/log.ts';
import { dial } from '../../src/net/dial.ts';
import { prepareLogin } from '../../src/connection/route/login.ts';
import { prepareRoute } from '../../src/connection/route/route.ts';
import type { TunnelSpec } from '../../src/model/spec.ts';
import type { SshConnection, Visitor } from '../../src/connection/ssh/connection.ts';
import { createIdentityCache } from '../../src/connection/auth/identity-cache.ts';
import type { TestSshd } from './sshd.ts';
import { quietDevice, specFor, testTurns } from './tunnel.ts';

/** One real connection, without the loop around it: the test does with visitors what it likes. */
export async function connectTo(
  t: TestContext,
  sshd: TestSshd,
  onVisitor: (visitor: Visitor) => void,
  port = sshd.port,
  turns = testTurns(),
  changes: Partial<TunnelSpec> = {},
  clock: Clock = systemClock,
): Promise<SshConnection> {
  const spec = specFor(sshd, [[1, 1]], { ...changes, port });
  const over = new AbortController();
  const deps = {
    clock,
    log: createLogger('fatal', () => {}),
    identities: createIdentityCache(),
    device: quietDevice,
    name: 'test',
    reach: () => dial(spec, 10_000, { clock: systemClock, turns }, over.signal),
    heartbeat: () => {},
    onSourcePort: () => {},
  };
  const login = await prepareLogin(spec, deps);
  const travel = await prepareRoute(spec, deps);
  const route = await travel(over.signal);
  const { connection } = await login(route, { onAuthenticating: () => {}, onVisitor }, over.signal);
  connection.lost.catch(() => {});
  t.after(async () => {
    connection.destroy();
    await route.destroy();
  });
  return connection;
}
