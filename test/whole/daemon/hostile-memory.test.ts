import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises';
import type { Connection, ServerChannel } from 'ssh2';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho, startSource } from '../../support/echo.ts';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { PROGRAM, startDaemonProcess, type TestDaemon } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { type FakeServer, sendPayload, startFakeSsh, uint32 } from '../../support/fake-server.ts';
import { visit } from '../../support/visit.ts';

/** For how long each attack goes on; a minute shows what is slow (`TUNNELD_ATTACK_SECONDS=60`). */
const SECONDS = Number(process.env['TUNNELD_ATTACK_SECONDS'] ?? 2);

/** How many of the three tunnels are attacked at a time; `TUNNELD_ATTACKED=1,2` tries both. */
const ATTACKED = (process.env['TUNNELD_ATTACKED'] ?? '2').split(',').map(Number);

/** RSS with three tunnels, at its highest. */
const MAX_MIB = 200;

let sshd: TestSshd;
before(async () => {
  sshd = await startSshd();
});
after(() => sshd.stop());

const GLOBAL_REQUEST = 80;
const IGNORE = 2;
const OPEN = 90;
const DATA = 94;
const EXTENDED_DATA = 95;
const CLOSE = 97;
const BANNER = 53;
const BLOCK = 'x'.repeat(1 << 15);

/** A server with one of our tunnels, and what it can do there. */
interface Attacker {
  readonly connection: Connection;
  readonly socket: Socket;
  send(...parts: readonly (number | string | Buffer)[]): void;
  /** Does it again and again, as fast as it is taken, until the connection or the test is over. */
  forever(act: () => void): void;
  /** New visitors. */
  channels(count: number): Promise<ServerEnd[]>;
  /** Sends one of them as much as its window takes, up to a packet. */
  fill(visitor: ServerEnd): void;
  /** Our number for one. */
  visitor(): Promise<number>;
  /** A visitor who takes so much at once, and is not looked after. */
  open(window: number): void;
}

describe('what a server can make us keep is bounded, and the other tunnels are served', { concurrency: 3 }, () => {
  const attacks: readonly [title: string, attack: (attacker: Attacker) => unknown, left?: RegExp][] = [
    [
      'data beyond the window',
      async ({ visitor, forever, send }) => {
        const id = await visitor();
        forever(() => send(DATA, uint32(id), BLOCK));
      },
      /bytes beyond the window of a channel/,
    ],
    [
      'a second stream that nobody reads',
      async ({ visitor, forever, send }) => {
        const id = await visitor();
        forever(() => send(EXTENDED_DATA, uint32(id), uint32(1), BLOCK));
      },
    ],
    [
      'full windows of a thousand visitors whose target does not read',
      async ({ channels, fill, forever }) => {
        const visitors = await channels(1000);
        let next = 0;
        forever(() => fill(visitors[next++ % visitors.length]!));
      },
    ],
    [
      'more than their windows by a little of a thousand visitors',
      async ({ channels, send, forever }) => {
        const visitors = await channels(1000);
        let next = 0;
        forever(() => {
          const { outgoing } = visitors[next++ % visitors.length]!;
          if (outgoing.window < -5 * BLOCK.length) return;
          outgoing.window -= BLOCK.length;
          send(DATA, uint32(outgoing.id), BLOCK);
        });
      },
    ],
    [
      'single bytes',
      async ({ channels, send, forever }) => {
        const visitors = await channels(4);
        let next = 0;
        forever(() => {
          const { outgoing } = visitors[next++ % visitors.length]!;
          if (outgoing.window-- > 0) send(DATA, uint32(outgoing.id), 'x');
        });
      },
    ],
    [
      'visitors who fill their windows and are gone',
      async ({ channels, fill, send, forever }) => {
        const visitors = await channels(500);
        const add = async () => void visitors.push(...(await channels(1)));
        let count = visitors.length;
        forever(() => {
          const [visitor] = visitors;
          if (visitor === undefined) return;
          fill(visitor);
          if (visitor.outgoing.window > 0) return;
          visitors.shift();
          send(CLOSE, uint32(visitor.outgoing.id));
          if (count++ < 10_000) void add().catch(() => {}); // the connection may end at any time
        });
      },
    ],
    [
      'an exchange of keys that is not finished',
      async ({ connection, socket, open, forever, send }) => {
        for (let count = 0; count < 300; count++) open(0xffff_ffff);
        await wait(500);
        socket.removeAllListeners('data').resume();
        (connection as unknown as ServerSide)._protocol.rekey();
        forever(() => send(IGNORE, 'still here'));
      },
    ],
    ['banners', ({ forever, send }) => forever(() => send(BANNER, BLOCK, '')), /sends banners without end/],
  ];
  /** The kernel's buffers take megabytes of short answers first. */
  const slowAttacks: typeof attacks = [
    [
      'questions whose answers are not read',
      ({ socket, forever, send }) => {
        socket.pause();
        forever(() => send(GLOBAL_REQUEST, 'who are you?', 1));
      },
      /does not read the answers/,
    ],
    [
      'channels whose refusals are not read',
      ({ socket, forever, send }) => {
        socket.pause();
        let id = 1000;
        forever(() => send(OPEN, 'x11', uint32(id++), uint32(1), uint32(1 << 15), 'x', uint32(1)));
      },
      /does not read the answers/,
    ],
  ];
  const cases = [...attacks, ...(SECONDS >= 10 ? slowAttacks : [])].flatMap((one) =>
    ATTACKED.map((tunnels) => [tunnels, ...one] as const),
  );
  for (const [attacked, what, attack, left] of cases) {
    const title = `is bounded when a server sends ${what} (${attacked} of 3 tunnels)`;
    test(title, async (t) => {
      const { daemon, goods } = await startAttacked(t, attack, attacked, /exchange of keys/.test(what));
      const end = performance.now() + SECONDS * 1000;
      while (performance.now() < end) {
        for (const port of goods) assert.equal(await visit(port, 'hello'), 'hello');
        await wait(100);
      }
      if (left !== undefined) await until(() => left.test(daemon.stderr()), { what: 'the end of the connection' });
      const peak = peakMiB(daemon.pid);
      t.diagnostic(`${title}: ${peak.toFixed(0)} MiB`);
      assert.ok(peak <= MAX_MIB, `${peak} MiB`);
      const lines = daemon.stderr().trimEnd().split('\n');
      assert.deepEqual(
        lines.filter((line) => !line.startsWith('{') || /"internal"/.test(line)),
        [],
      );
      assert.ok(daemon.stderr().length < 1 << 20, `${daemon.stderr().length} bytes of log`);
    });
  }
});

test('is bounded in an audit, too, when a server pours into each session', async (t) => {
  const server = await startFakeSsh(t, sshd, (connection) => {
    connection.on('authentication', (attempt) => attempt.accept());
    connection.on('request', (accept) => accept?.());
    connection.on('session', (accept) => {
      const session = accept();
      for (const event of ['exec', 'shell'] as const)
        session.on(event as 'exec', (take) => {
          const channel = take().on('error', () => {});
          void pourBoth(channel);
        });
    });
  });
  const dir = await tempDir(t);
  const configFile = join(dir, 'config.yaml');
  const yaml = tunnelYaml(sshd, 'bad', '8080:localhost:22').replace(`port: ${sshd.port}`, `port: ${server.port}`);
  writeFileSync(
    configFile,
    `tunnels:\n${yaml.replace(/userKnownHostsFile: .*/, 'strictHostKeyChecking: no')}stateDirectory: ${dir}\n`,
  );
  const audit = spawn(process.execPath, [...PROGRAM, 'audit', '--yes', '--config', configFile], { stdio: 'ignore' });
  let peak = 0;
  while (audit.exitCode === null && audit.signalCode === null) {
    peak = Math.max(peak, peakMiB(audit.pid!));
    await wait(50);
  }
  t.diagnostic(`audit: ${peak.toFixed(0)} MiB, exit ${audit.exitCode}`);
  assert.ok(peak > 10 && peak <= MAX_MIB, `${peak} MiB`);
  assert.equal(audit.exitCode, 1);
});

async function pourBoth(channel: ServerChannel): Promise<void> {
  while (channel.writable) {
    channel.write(BLOCK);
    channel.stderr.write(BLOCK);
    await wait(1);
  }
}

function peakMiB(pid: number): number {
  // A process that has just ended has no memory.
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
}

async function startAttacked(
  t: TestContext,
  attack: (attacker: Attacker) => unknown,
  attacked: number,
  uploads: boolean,
): Promise<{ readonly daemon: TestDaemon; readonly goods: readonly number[] }> {
  const echo = await startEcho();
  // The kernel keeps megabytes for each that does not read over TCP, and little over a Unix socket.
  const stalled = join(await tempDir(t), 'stalled');
  const neverReads = createServer({ pauseOnConnect: true, allowHalfOpen: true }).listen(stalled);
  const source = await startSource(2 ** 40);
  t.after(() => void neverReads.close());
  t.after(() => Promise.all([echo.close(), source.close()]));
  let over = false;
  t.after(() => (over = true));
  // Not before the others are up: it is their service under attack that counts.
  let begin = () => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const tunnels: string[] = [];
  const goods: number[] = [];
  const servers: FakeServer[] = [];
  for (const name of ['one', 'two', 'three']) {
    const port = await freePort();
    if (servers.length === attacked) {
      goods.push(port);
      tunnels.push(tunnelYaml(sshd, name, `${port}:127.0.0.1:${echo.port}`, '    verify: off\n'));
      continue;
    }
    const server = await startFakeSsh(t, sshd, (connection, socket) => {
      connection.on('authentication', (attempt) => attempt.accept());
      connection.on('request', (accept, _reject, request) => {
        accept?.();
        if (request !== 'tcpip-forward') return;
        const attacker = attackerAt(connection, socket, port, () => over);
        void begun.then(() => attack(attacker)).catch(() => {}); // the connection may end at any time
      });
    });
    servers.push(server);
    const target = uploads ? `127.0.0.1:${source.port}` : stalled;
    tunnels.push(
      tunnelYaml(sshd, name, `${port}:${target}`, '    verify: off\n')
        .replace(`port: ${sshd.port}`, `port: ${server.port}`)
        .replace(/userKnownHostsFile: .*/, 'strictHostKeyChecking: no'),
    );
  }
  const daemon = await startDaemonProcess(t, `log: { level: debug }\ntunnels:\n${tunnels.join('\n')}\n`);
  for (const port of goods)
    await until(async () => (await visit(port, 'x')) === 'x', { what: 'the other tunnels', timeoutMs: 180_000 });
  await until(() => servers.every((server) => server.accepted() > 0), { what: 'the attacked tunnels' });
  begin();
  return { daemon, goods };
}

function attackerAt(connection: Connection, socket: Socket, port: number, over: () => boolean): Attacker {
  const channel = () =>
    new Promise<ServerEnd>((resolve, reject) => {
      connection.forwardOut('localhost', port, '192.0.2.1', 1, (error, opened) => {
        if (error) reject(error);
        else resolve(opened as unknown as ServerEnd);
      });
    });
  let opened = 100_000;
  const send: Attacker['send'] = (...parts) => sendPayload(connection, ...parts);
  const forever = async (act: () => void) => {
    while (!socket.destroyed && !over()) {
      socket.cork();
      for (let count = 0; count < 256 && !socket.writableNeedDrain; count++) act();
      socket.uncork();
      await nextTurn();
    }
  };
  return {
    connection,
    socket,
    send,
    forever: (act) => void forever(act).catch(() => {}),
    open: (window) =>
      send(
        OPEN,
        'forwarded-tcpip',
        uint32(++opened),
        uint32(window),
        uint32(BLOCK.length),
        'localhost',
        uint32(port),
        '192.0.2.1',
        uint32(1),
      ),
    channels: (count) => Promise.all(Array.from({ length: count }, channel)),
    fill: ({ outgoing }) => {
      const length = Math.min(outgoing.window, BLOCK.length);
      if (length <= 0) return;
      outgoing.window -= length;
      send(DATA, uint32(outgoing.id), BLOCK.slice(0, length));
    },
    visitor: async () => (await channel()).outgoing.id,
  };
}

/** Of ssh2's channel: our number for it, and what we take. */
interface ServerEnd {
  readonly outgoing: { readonly id: number; window: number };
}

/** Of ssh2's Connection. */
interface ServerSide {
  readonly _protocol: { rekey(): void };
}
