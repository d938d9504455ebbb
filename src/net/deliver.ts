import type { Clock } from '../lib/async/clock.ts';
import type { Device } from './device.ts';
import type { DeviceSocket } from './streams/device-socket.ts';
import { resetSocket } from './streams/reset-socket.ts';
import { addressesOf } from './transport.ts';

export interface DeliverOptions {
  readonly clock: Clock;
  readonly unacknowledged: Device['unacknowledged'];
  /** The peer was still sending when everything had been delivered, so the socket is reset. */
  onReset(): void;
}

/**
 * Ends a socket whose other side has closed. First everything that was written to it is delivered, however slowly the
 * peer reads: "it is RECOMMENDED that all data sent before this message be delivered to the actual destination" (RFC
 * 4254 section 5.3). A reset or a close(2) before that would take the data out of the kernel's hands. What the peer
 * still sends is discarded: a little is read, so that its end is seen; a peer that keeps sending is reset, but only
 * after it has had everything and a moment to read it. Node closes a peer that ends too. The result stops the waiting.
 */
export function deliverThenClose(socket: DeviceSocket, { clock, unacknowledged, onReset }: DeliverOptions): () => void {
  // It closes at the end of the tick.
  if (socket.destroyed) return () => {};
  let sent = 0;
  let cancel = () => {};
  const onData = (chunk: Buffer) => {
    sent += chunk.length;
    if (sent > TRAILING_BYTES) socket.pause();
  };
  const close = () => {
    if (socket.destroyed) return;
    if (sent === 0) socket.destroy();
    else {
      onReset();
      resetSocket(socket);
    }
  };
  const check = (again: number) => {
    if (socket.destroyed) return;
    const left = undelivered(socket, unacknowledged);
    if (left === 0) cancel = clock.timer(READING_MS, close);
    // A connection of a moment may be younger than the system's last report.
    else if (left === null && again >= UNKNOWN_MS) cancel = clock.timer(LINGER_MS, () => socket.destroy());
    else cancel = clock.timer(again, () => check(Math.min(2 * again, LONGEST_CHECK_MS)));
  };
  // Most peers end as soon as they see our end, and need no check.
  const start = () => (cancel = clock.timer(FIRST_CHECK_MS, () => check(FIRST_CHECK_MS)));
  socket.on('data', onData);
  if (!socket.writableEnded) socket.end();
  if (socket.writableFinished) start();
  else socket.once('finish', start);
  return () => {
    cancel();
    socket.off('data', onData).off('finish', start);
  };
}

/**
 * Bytes that the peer's kernel has not acknowledged; null where the system does not report it. A Unix socket has none: its
 * data is there at once.
 */
function undelivered(socket: DeviceSocket, unacknowledged: Device['unacknowledged']): number | null {
  const addresses = addressesOf(socket);
  return addresses.remotePort === 0 ? 0 : unacknowledged(addresses);
}

/** More than the end of any conversation, and little enough to lose from an upload that nothing reads. */
const TRAILING_BYTES = 64 * 1024;

/**
 * From the last byte's delivery to the close, for the peer to read it: on some systems a reset discards unread data.
 */
const READING_MS = 2000;

/** The same where delivery cannot be observed: what web servers allow (nginx: lingering_time). */
const LINGER_MS = 30_000;

const FIRST_CHECK_MS = 100;
/** With so much between two checks, what is still unknown cannot be observed. */
const UNKNOWN_MS = 1600;
const LONGEST_CHECK_MS = 30_000;
