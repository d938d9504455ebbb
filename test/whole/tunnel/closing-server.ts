import type { TestContext } from 'node:test';
import type { Connection, ServerChannel } from 'ssh2';
import type { TestSshd } from '../../support/sshd.ts';
import { startFakeSsh, type FakeServer } from '../../support/fake-server.ts';

/** What a server does with each channel: it says something and closes it at once. */
export interface Closing {
  /** What it sends. */
  readonly bytes: Buffer;
  /** Whether an end of stream comes before the close, as from OpenSSH; gliderlabs/ssh for Go, and so many appliances, send none. */
  readonly eof: boolean;
}

/** A server that opens channels and closes them, and takes no notice of what comes through them. */
export interface ClosingServer extends FakeServer {
  /** Channels whose close has been answered. */
  closed(): number;
  /** A visitor comes to the listener that the client asked for. */
  visit(): void;
  /** Resets the connection. */
  hangUp(): void;
}

/**
 * An SSH server in this process whose last bytes of a channel and its close come in one segment of TCP, so that the client reads
 * them at once.
 */
export async function startClosingServer(
  t: TestContext,
  sshd: TestSshd,
  closing: () => Closing,
): Promise<ClosingServer> {
  let closed = 0;
  let visit = () => {};
  let hangUp = () => {};
  const serve = (channel: ServerChannel) => {
    channel.on('error', () => {});
    channel.on('close', () => (closed += 1)).resume();
    const { bytes, eof } = closing();
    const close = () => {
      if (eof) (channel as unknown as { eof(): void }).eof();
      channel.close();
    };
    // Called as soon as the window has let all of it through.
    if (bytes.length === 0) close();
    else channel.write(bytes, close);
  };
  const server = await startFakeSsh(t, sshd, (connection: Connection, socket) => {
    const gathered = (work: () => void) => {
      socket.cork();
      work();
      setImmediate(() => socket.uncork());
    };
    hangUp = () => socket.resetAndDestroy();
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('ready', () => {
      connection.on('tcpip', (accept) => gathered(() => serve(accept())));
      connection.on('request', (accept, reject, name, info) => {
        if (name !== 'tcpip-forward') {
          reject?.();
          return;
        }
        accept?.();
        const { bindAddr, bindPort } = info;
        visit = () =>
          connection.forwardOut(bindAddr, bindPort, '127.0.0.1', 1, (error, channel) => {
            if (error === undefined) gathered(() => serve(channel));
          });
      });
    });
  });
  return { ...server, closed: () => closed, visit: () => visit(), hangUp: () => hangUp() };
}
