import type { Client } from 'ssh2';
import { systemClock } from '../../lib/async/clock.ts';
import { errorText } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { guardListeners } from '../../net/streams/guard-listeners.ts';
import type { Channel, CommandOutput, SessionProbe, SshConnection } from '../ssh/connection.ts';
import { probeSession } from './probe-session.ts';
import { listen, sendPing, unlisten } from './global-requests.ts';
import { openChannel } from './open-channel.ts';
import { openTun } from './open-tun.ts';
import { runCommand } from './run-command.ts';

/** Requests to the server that wait for its reply, or for the end of the connection. */
export interface Requests extends Pick<
  SshConnection,
  'listen' | 'unlisten' | 'open' | 'probeSession' | 'openTun' | 'run' | 'ping'
> {
  /** The connection is gone: every request, present or later, fails with this. */
  fail(failure: TunnelFailure): void;
}

export function createRequests(client: Client, clock = systemClock): Requests {
  // Not a race with one promise for the end: that promise would remember each race until then.
  const waiting = new Set<(failure: TunnelFailure) => void>();
  let ended: TunnelFailure | null = null;

  const ask = <T>(send: (done: (error: TunnelFailure | null, value: T) => void) => void): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (ended !== null) {
        reject(ended);
        return;
      }
      waiting.add(reject);
      try {
        send((error, value) => {
          waiting.delete(reject);
          if (error === null) resolve(value);
          else reject(error);
        });
      } catch (error) {
        // ssh2 throws where it is not connected.
        waiting.delete(reject);
        reject(new TunnelFailure('disconnected', errorText(error), { cause: error }));
      }
    });

  return {
    listen: (endpoint) => ask<number>((done) => listen(client, endpoint, done)),
    unlisten: (endpoint) => ask<void>((done) => unlisten(client, endpoint, () => done(null, undefined))),
    open: async (endpoint, originator) =>
      guardListeners(await ask<Channel>((done) => openChannel(client, endpoint, originator, done))),
    probeSession: (use) =>
      ask<SessionProbe>((done) => probeSession(client, use, clock, (answer) => done(null, answer))),
    openTun: () => ask<'granted' | 'refused' | 'unable'>((done) => openTun(client, (answer) => done(null, answer))),
    run: (command, input, limit) => ask<CommandOutput>((done) => runCommand(client, command, input, limit, done)),
    ping: () => ask<void>((done) => sendPing(client, () => done(null, undefined))),
    fail: (failure) => {
      ended ??= failure;
      for (const reject of waiting) reject(failure);
      waiting.clear();
    },
  };
}
