import type { Client } from 'ssh2';
import { systemClock } from '../../lib/async/clock.ts';
import { createSlots } from '../../lib/slots.ts';
import { errorText } from '../../lib/text.ts';
import { TunnelFailure } from '../../model/failure.ts';
import { guardListeners } from '../../net/streams/guard-listeners.ts';
import type { Channel, SshConnection } from '../ssh/connection.ts';
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
  const waiting = createSlots<(failure: TunnelFailure) => void>();
  let ended: TunnelFailure | null = null;

  const ask = <T>(send: (done: (value: T) => void, refuse: (failure: TunnelFailure) => void) => void): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (ended !== null) {
        reject(ended);
        return;
      }
      const number = waiting.add(reject);
      const refuse = (failure: TunnelFailure) => {
        waiting.remove(number, reject);
        reject(failure);
      };
      try {
        send((value) => {
          waiting.remove(number, reject);
          resolve(value);
        }, refuse);
      } catch (error) {
        // ssh2 throws where it is not connected.
        refuse(new TunnelFailure('disconnected', errorText(error), { cause: error }));
      }
    });

  return {
    listen: (endpoint) => ask((done, refuse) => listen(client, endpoint, done, refuse)),
    unlisten: (endpoint) => ask((done) => unlisten(client, endpoint, done)),
    open: async (endpoint, from) =>
      guardListeners(await ask<Channel>((done, refuse) => openChannel(client, endpoint, from, done, refuse))),
    probeSession: (use) => ask((done) => probeSession(client, use, clock, done)),
    openTun: () => ask((done) => openTun(client, done)),
    run: (command, input, limit) => ask((done, refuse) => runCommand(client, command, input, limit, done, refuse)),
    ping: () => ask((done) => sendPing(client, done)),
    fail: (failure) => {
      ended ??= failure;
      for (const [number, reject] of waiting.entries()) {
        waiting.remove(number);
        reject(failure);
      }
    },
  };
}
