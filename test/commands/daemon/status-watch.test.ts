import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { DaemonNotRunningError } from '../../../src/control/client.ts';
import { nextSighting, notesOf, type Sighting } from '../../../src/commands/daemon/status-watch.ts';
import { UserError } from '../../../src/lib/user-error.ts';
import { ago, statusOf, upTunnel } from '../../support/status.ts';
import { startInTerminal } from '../../support/terminal.ts';
import { PROGRAM, startDaemonProcess, type TestDaemon } from '../../support/tunneld.ts';
import { freePort } from '../../support/until.ts';

/** Tunnels that have nowhere to go. */
async function startWithTunnels(t: TestContext, count: number): Promise<TestDaemon> {
  const port = await freePort();
  const names = Array.from({ length: count }, (_, index) => `tunnel-${index}`);
  const yaml = names.map(
    (name, index) => `  ${name}: { host: 127.0.0.1, port: ${port}, remoteForward: "${8000 + index}:localhost:22" }\n`,
  );
  const daemon = await startDaemonProcess(t, `tunnels:\n${yaml.join('')}`);
  await daemon.untilStatus(({ tunnels }) => tunnels.every(({ failure }) => failure !== undefined), 'all to fail');
  return daemon;
}

const watch = (daemon: TestDaemon, ...args: string[]) => [
  process.execPath,
  ...PROGRAM,
  'status',
  '--watch',
  ...args,
  '--config',
  daemon.configFile,
];

test('draws what fits when the terminal or the daemon changes, and gives the terminal back when q is pressed', async (t) => {
  const daemon = await startWithTunnels(t, 50);
  const command = watch(daemon).map((word) => `'${word}'`);
  const shell = `echo before; ${command.join(' ')}; echo "code $?"; stty -a | grep icanon`;
  const terminal = startInTerminal(t, { rows: 24, columns: 80 }, 'sh', '-c', shell);
  const isComplete = (rows: number) => (lines: readonly string[]) =>
    (lines[0] ?? '').startsWith('tunneld: 50 of 50 down for ') &&
    lines.some((line) => line.startsWith('TUNNEL')) &&
    lines.findLastIndex((line) => line !== '') === rows - 1 &&
    /^… \d+ more tunnels and the details of 50/.test(lines[rows - 1] ?? '');
  await terminal.untilScreen(isComplete(24), 'a full screen');
  assert.ok(terminal.isAlternate());
  terminal.resize(10, 60);
  await terminal.untilScreen(isComplete(10), 'a smaller screen');

  daemon.signal('SIGTERM');
  await daemon.exited;
  const seen = (text: RegExp) => (lines: readonly string[]) => text.test(lines.join(' ').replaceAll(/ +/g, ' '));
  await terminal.untilScreen(seen(/the daemon has not answered for \d+s: it is not running/), 'that it is gone');
  const next = await startDaemonProcess(t, '', { after: daemon });
  await terminal.untilScreen(
    seen(new RegExp(`the daemon was restarted \\d+s ago: process ${next.pid}, before ${daemon.pid}`)),
    'that it is another one',
  );

  terminal.keys('q');
  assert.equal(await terminal.ended, 0);
  assert.equal(terminal.isAlternate(), false);
  const after = terminal.screen().join('\n');
  assert.match(after, /^before\ncode 0\n/);
  // What `stty` says of a terminal that reads lines, and echoes them.
  assert.match(after, / icanon /);
  assert.match(after, /(?<!-)\becho /);
  assert.match(terminal.written(), /\u001b\[\?7h\u001b\[\?25h\u001b\[\?1049l/);
});

test('gives the terminal back when Ctrl-C is pressed or SIGTERM comes', async (t) => {
  const daemon = await startWithTunnels(t, 3);
  const size = { rows: 24, columns: 80 };
  const [byKey, bySignal] = [0, 1].map(() =>
    startInTerminal(t, size, 'sh', '-c', 'echo $$; exec "$@"', 'sh', ...watch(daemon)),
  );
  for (const terminal of [byKey!, bySignal!])
    await terminal.untilScreen((lines) => (lines[0] ?? '').startsWith('tunneld: 3 of 3 down'), 'a status');
  byKey!.keys('\u0003');
  assert.equal(await byKey!.ended, 0);
  process.kill(Number(/^\d+/.exec(bySignal!.written())![0]), 'SIGTERM');
  assert.equal(await bySignal!.ended, 128 + 15);
  for (const terminal of [byKey!, bySignal!]) assert.equal(terminal.isAlternate(), false);
});

test('uses no colour when NO_COLOR is set, and only prints when the terminal is dumb', async (t) => {
  const daemon = await startWithTunnels(t, 3);
  const size = { rows: 24, columns: 80 };
  const once = watch(daemon).filter((word) => word !== '--watch');
  const coloured = startInTerminal(t, size, ...once);
  assert.equal(await coloured.ended, 1);
  assert.match(coloured.written(), /^\u001b\[31mtunneld: 3 of 3 down/);
  const plain = startInTerminal(t, { ...size, env: { NO_COLOR: '1' } }, ...once);
  assert.equal(await plain.ended, 1);
  assert.doesNotMatch(plain.written(), /\u001b/);
  const dumb = startInTerminal(t, { ...size, env: { TERM: 'dumb' } }, ...watch(daemon));
  await dumb.untilScreen(() => dumb.written().split('tunneld: 3 of 3 down').length > 2, 'two of them');
  assert.doesNotMatch(dumb.written(), /\u001b/);
  dumb.keys('\u0003');
  await dumb.ended;
});

test('tells a restart by the process or its age when the daemon answers again, whatever its clock says', () => {
  const look = (pid: number, seconds: number, clockSetBy = 0) => {
    const move = (iso: string) => new Date(Date.parse(iso) + clockSetBy).toISOString();
    const document = statusOf([upTunnel('a')], { pid, now: move(ago(0)), startedAt: move(ago(seconds)) });
    return { document, log: [] };
  };
  const first: Sighting = { look: look(7, 100), lost: null, restarted: null };
  const set = nextSighting(first, look(7, 101, 56 * 365 * 86_400_000), 1000);
  assert.deepEqual(notesOf(set, 1000), []);
  const lost = nextSighting(
    nextSighting(set, new DaemonNotRunningError([]), 2000),
    new DaemonNotRunningError([]),
    9000,
  );
  assert.deepEqual(notesOf(lost, 9000), [
    'the daemon has not answered for 7s: it is not running; this is what it said last:',
  ]);
  const hanging = nextSighting(first, new UserError('it hangs\nmore'), 2000);
  assert.match(notesOf(hanging, 2000)[0] ?? '', /for 0s: it hangs; this/);
  for (const again of [look(8, 200), look(7, 3)]) {
    const back = nextSighting(lost, again, 10_000);
    assert.deepEqual(notesOf(back, 15_000), [
      `the daemon was restarted 5s ago: process ${again.document.pid}, before 7`,
    ]);
    assert.deepEqual(notesOf(nextSighting(back, again, 71_000), 71_000), []);
  }
});
