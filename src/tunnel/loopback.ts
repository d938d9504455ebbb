import { abortable, deferred, type Deferred } from '../lib/abort.ts';
import { sleep, type Clock } from '../lib/clock.ts';
import type { Endpoint } from './spec.ts';
import type { SshConnection, Visitor } from './ssh.ts';

/** Whose the IPv4 loopback side of a listener is. */
export type Owner = 'ours' | 'foreign' | 'unknown';

/** Why a listener was refused, as far as can be found out. */
export type Refusal = 'in-use' | 'forbidden' | 'unknown';

/**
 * Looks at listeners from the server's side, by connections that the server opens to its own 127.0.0.1 for us. sshd says that it
 * listens on `localhost` when it could bind one of 127.0.0.1 and ::1, and gives no reason when it refuses.
 */
export interface LoopbackInspector {
  /** Whether a connection to the port of this granted listener comes out here. `unknown` also where the server forbids the test. */
  owner(listen: Endpoint, port: number): Promise<Owner>;
  /** Something that listens there is in the way; where nothing does, the server's rules are. */
  refusal(listen: Endpoint): Promise<Refusal>;
  /** Takes the visitor that is a test of ours; true when it was. */
  claim(visitor: Visitor): boolean;
}

export function inspectLoopback(
  connection: Pick<SshConnection, 'knock' | 'probe' | 'serverVersion'>,
  clock: Clock,
  signal: AbortSignal,
): LoopbackInspector {
  const awaited = new Set<{ readonly listen: Endpoint; readonly port: number; readonly seen: Deferred<'ours'> }>();
  const knock = (port: number) =>
    Promise.race([
      connection.knock('127.0.0.1', port),
      sleep(clock, PATIENCE_MS, signal).then(() => 'unknown' as const),
    ]);

  return {
    owner: async (listen, port) => {
      if (!includesLoopback(listen)) return 'unknown';
      const test = { listen, port, seen: deferred<'ours'>() };
      awaited.add(test);
      try {
        const answer = await abortable(Promise.race([test.seen.promise, knock(port)]), signal);
        if (answer !== 'open') return answer === 'ours' ? 'ours' : 'unknown';
        // Others give their listeners out in ways of their own, and have something else on that port of their machine.
        if (!connection.serverVersion.startsWith('OpenSSH')) return 'unknown';
        // The visitor and this answer come on one connection: what has not come a round trip and a second later never will.
        const nobody = connection
          .probe()
          .then(() => sleep(clock, PATIENCE_MS, signal))
          .then(() => 'foreign' as const);
        return await abortable(Promise.race([test.seen.promise, nobody]), signal);
      } finally {
        awaited.delete(test);
      }
    },
    refusal: async (listen) => {
      if (!includesLoopback(listen) || listen.port === 0) return 'unknown';
      const answer = await knock(listen.port);
      return answer === 'open' ? 'in-use' : answer === 'closed' ? 'forbidden' : 'unknown';
    },
    claim: ({ listen, originator, reject }) => {
      const test = [...awaited].find(
        (one) =>
          listen.type === 'tcp' &&
          one.listen.type === 'tcp' &&
          listen.host === one.listen.host &&
          listen.port === one.port &&
          originator.startsWith('127.'),
      );
      if (test === undefined) return false;
      awaited.delete(test);
      reject();
      test.seen.resolve('ours');
      return true;
    },
  };
}

const PATIENCE_MS = 2000;

function includesLoopback(listen: Endpoint): listen is Extract<Endpoint, { type: 'tcp' }> {
  return listen.type === 'tcp' && ['localhost', '127.0.0.1', '', '*', '0.0.0.0'].includes(listen.host);
}
