/**
 * Byte for byte through servers of other makers, many times: `npm run test:servers`. Not among the tests that run every time: Go alone
 * takes half a gigabyte. TRANSFERS sets how many go in each direction of each kind of forward.
 */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import type { ForwardSpec } from '../../src/model/spec.ts';
import { pattern } from '../support/echo.ts';
import { listen } from '../support/listen.ts';
import { startSshd } from '../support/sshd.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { freePort, until } from '../support/until.ts';
import { startAsyncssh, startDropbear } from '../support/other-servers.ts';
import { startGo, startLibssh, startParamiko } from './programs.ts';

const COUNT = Number(process.env['TRANSFERS'] ?? 1000);
const AT_ONCE = 8;

const SERVERS = {
  OpenSSH: async (t: TestContext) => {
    const sshd = await startSshd();
    t.after(() => sshd.stop());
    return sshd;
  },
  Dropbear: startDropbear,
  AsyncSSH: startAsyncssh,
  'gliderlabs/ssh (Go)': startGo,
  libssh: startLibssh,
  paramiko: startParamiko,
} as const;

describe('transfers', () => {
  for (const [name, start] of Object.entries(SERVERS)) {
    test(name, { timeout: 1_800_000 }, async (t) => {
      const server = await start(t);
      const [source, sink] = [await startSource(t), await startSink(t)];
      const [localDown, localUp, remoteDown, remoteUp] = await Promise.all([
        freePort(),
        freePort(),
        freePort(),
        freePort(),
      ]);
      const forward = (kind: 'local' | 'remote', from: number, to: number): ForwardSpec => ({
        kind,
        listen: { type: 'tcp', host: kind === 'local' ? '127.0.0.1' : 'localhost', port: from },
        target: { type: 'tcp', host: '127.0.0.1', port: to },
      });
      const tunnel = startTunnel(t, {
        ...specFor(server, [[0, 1]], { verify: 'off' }),
        forwards: [
          forward('local', localDown, source),
          forward('local', localUp, sink.port),
          forward('remote', remoteDown, source),
          forward('remote', remoteUp, sink.port),
        ],
      });
      await tunnel.untilPhase('up', 20_000);
      const report = async (what: string, work: (index: number) => Promise<string | null>) => {
        const started = performance.now();
        const failures = (await many(work)).filter((failure) => failure !== null);
        const seconds = Math.round((performance.now() - started) / 100) / 10;
        t.diagnostic(
          `${name}, ${what}: ${COUNT - failures.length} of ${COUNT} whole, ${seconds} s ${failures[0] ?? ''}`,
        );
        assert.deepEqual(failures.slice(0, 3), []);
      };
      await report('-L, to the visitor', (index) => download(localDown, index));
      await report('-L, to the target', (index) => upload(localUp, index, sink));
      await report('-R, to the visitor', (index) => download(remoteDown, index));
      await report('-R, to the target', (index) => upload(remoteUp, index, sink));
      await until(() => tunnel.state().forwards.every(({ counters }) => counters.connections === 0), {
        what: 'the ends',
      });
      assert.deepEqual(tunnel.phases.filter((phase) => phase === 'up').length, 1);
      assert.deepEqual(
        tunnel.lines.filter(({ code }) => code === 'internal'),
        [],
      );
    });
  }
});

/** Every tenth is large, and its reader slow. */
function isSlow(index: number): boolean {
  return index % 10 === 0;
}

function sizeOf(index: number): number {
  return isSlow(index) ? 3_000_000 + index : (index * 7919) % 400_000;
}

const BYTES = pattern(0, 4_000_000);

async function many(work: (index: number) => Promise<string | null>): Promise<(string | null)[]> {
  const results: (string | null)[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < COUNT; index = next++) results.push(await work(index));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

/** The target is told which one it is, and sends as many bytes; null when all came, and a clean end. */
function download(port: number, index: number): Promise<string | null> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.write(`${index}\n`);
  return receive(socket, index).finally(() => socket.end());
}

async function startSource(t: TestContext): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (line) => socket.end(BYTES.subarray(0, sizeOf(Number(line)))));
  });
  t.after(() => server.close());
  return await listen(server);
}

interface Sink {
  readonly port: number;
  /** Resolves with what became of this one. */
  result(index: number): Promise<string | null>;
}

async function upload(port: number, index: number, sink: Sink): Promise<string | null> {
  const result = sink.result(index);
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  // Its reader's pace depends on which one it is.
  const head = Buffer.alloc(4);
  head.writeUInt32BE(index);
  socket.write(head);
  socket.end(BYTES.subarray(0, sizeOf(index)));
  return await result;
}

async function startSink(t: TestContext): Promise<Sink> {
  const waiting = new Map<number, (result: string | null) => void>();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    const onReadable = () => {
      const head = socket.read(4) as Buffer | null;
      if (head === null) return;
      socket.off('readable', onReadable);
      const index = head.readUInt32BE();
      void receive(socket, index).then((result) => waiting.get(index)?.(result));
    };
    socket.on('readable', onReadable);
  });
  t.after(() => server.close());
  return {
    port: await listen(server),
    result: (index) => new Promise((resolve) => waiting.set(index, resolve)),
  };
}

function receive(socket: Socket, index: number): Promise<string | null> {
  return new Promise((resolve) => {
    const size = sizeOf(index);
    let got = 0;
    let wrong = false;
    socket.on('data', (chunk: Buffer) => {
      wrong ||= !chunk.equals(BYTES.subarray(got, got + chunk.length));
      got += chunk.length;
      if (!isSlow(index)) return;
      socket.pause();
      setTimeout(() => socket.resume(), 5);
    });
    const failed = (how: string) => `${how} at ${got} of ${size}`;
    socket.once('error', (error) => resolve(failed(error.message)));
    socket.once('end', () => resolve(wrong || got !== size ? failed(wrong ? 'wrong bytes' : 'the end') : null));
    socket.once('close', () => resolve(failed('closed')));
    socket.resume();
  });
}
