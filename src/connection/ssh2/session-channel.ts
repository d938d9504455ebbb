import type { Client, ClientChannel } from 'ssh2';

/** A session in which nothing runs yet. */
export interface SessionRequests {
  readonly channel: ClientChannel;
  /** Sends a request that wants an answer; a session that ends instead has refused it. */
  request(send: (protocol: SessionProtocol, id: number) => void, answer: (granted: boolean) => void): void;
}

/**
 * Opens a session channel (RFC 4254 section 6.1) and nothing more; null where the server opens none. ssh2 itself has no session
 * without a program in it: it asks for a terminal, an agent or X11 only together with a command or a shell.
 */
export function openSession(client: Client, done: (session: SessionRequests | null) => void): void {
  const { _chanMgr: channels, _protocol: protocol } = client as unknown as Internals;
  const opened = (error: Error | undefined, channel: (ClientChannel & Inside) | undefined) => {
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
const WINDOW = 2 * 1024 * 1024;
const PACKET = 32 * 1024;

/** The parts of ssh2's Client, Protocol and Channel that its own `exec` and `shell` are made of. */
interface Internals {
  readonly _chanMgr: {
    add(opened: (error: Error | undefined, channel: (ClientChannel & Inside) | undefined) => void): number;
  };
  readonly _protocol: SessionProtocol & { session(id: number, window: number, packet: number): void };
}

interface Inside {
  readonly _callbacks: ((failed: boolean | Error) => void)[];
  readonly outgoing: { readonly id: number };
}

interface SessionProtocol {
  exec(id: number, command: string, wantReply: boolean): void;
  shell(id: number, wantReply: boolean): void;
  subsystem(id: number, name: string, wantReply: boolean): void;
  pty(
    id: number,
    rows: number,
    columns: number,
    height: number,
    width: number,
    terminal: string,
    modes: null,
    wantReply: boolean,
  ): void;
  x11Forward(
    id: number,
    screen: { readonly single: boolean; readonly protocol: string; readonly cookie: string; readonly screen: number },
    wantReply: boolean,
  ): void;
  env(id: number, name: string, value: string, wantReply: boolean): void;
  openssh_agentForward(id: number, wantReply: boolean): void;
}
