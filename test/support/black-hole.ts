import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { freePort } from './until.ts';

/** A port on loopback that answers no SYN, as a firewall that drops packets does: a listener with a full queue that never accepts. */
export interface BlackHole {
  readonly port: number;
  /** The port is free again. */
  close(): Promise<void>;
}

const LISTENER = `
  const { workerData, parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer();
  server.listen({ ...workerData, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });`;

export async function startBlackHole(t: TestContext, host = '127.0.0.1', port?: number): Promise<BlackHole> {
  const worker = new Worker(LISTENER, { eval: true, workerData: { host, port: port ?? (await freePort()) } });
  const [listening] = (await once(worker, 'message')) as [number];
  const guests: Socket[] = [];
  const close = async () => {
    for (const guest of guests) guest.destroy();
    await worker.terminate();
  };
  t.after(close);
  // The queue takes one or two more than it was told; the guest that is not let in shows that it is full.
  for (let letIn = true; letIn;) {
    const guest = connect(listening, host).on('error', () => {});
    guests.push(guest);
    letIn = false;
    guest.once('connect', () => (letIn = true));
    await Promise.race([once(guest, 'connect'), wait(300)]);
    // On a machine that is held up the time is over before the loop has looked at the socket.
    await turn();
  }
  return { port: listening, close };
}
