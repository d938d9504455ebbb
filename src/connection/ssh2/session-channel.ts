import type { Client, ClientChannel } from 'ssh2';
import { type Answered, internalsOf, type Protocol } from './protocol/internals.ts';

/** A session without a program. */
export interface SessionRequests {
  readonly channel: ClientChannel;
  /** Sends a request that wants a reply; a session that ends instead has refused it. */
  request(send: (protocol: Protocol, id: number) => void, answer: (granted: boolean) => void): void;
}

/**
 * Opens a session channel (RFC 4254 section 6.1) and nothing more; null where the server opens none. ssh2 itself has no
 * session without a program: it requests a terminal, an agent or X11 only together with a command or a shell.
 */
export function openSession(client: Client, done: (session: SessionRequests | null) => void): void {
  const { _chanMgr: channels, _protocol: protocol } = internalsOf(client);
  const opened: Answered = (error, channel) => {
    if (error !== undefined || channel === undefined) {
      done(null);
      return;
    }
    channel.stderr.resume();
    done({
      channel,
      request: (send, answer) => {
        channel._callbacks.push((failed) => answer(failed === false));
        send(protocol, channel.outgoing.id);
      },
    });
  };
  const id = channels.add(Object.assign(opened, { type: 'session' }));
  protocol.session(id, WINDOW, PACKET);
}

/** As ssh2's own channels (MAX_WINDOW and PACKET_SIZE in its Channel.js). */
export const WINDOW = 2 * 1024 * 1024;
export const PACKET = 32 * 1024;
