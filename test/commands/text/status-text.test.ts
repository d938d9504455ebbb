import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarize, worstFirst } from '../../../src/commands/text/status-summary.ts';
import { formatInDetail, formatStatus, PLAIN } from '../../../src/commands/text/status-text.ts';
import { displayWidth } from '../../../src/commands/text/width.ts';
import type { TunnelStatus } from '../../../src/status/document.ts';
import { ago, downTunnel, forwardStatus, NOW, statusOf, upTunnel } from '../../support/status.ts';

const TARGET = { code: 'target-unreachable', message: 'ECONNREFUSED', hint: 'Start it.', at: ago(3) } as const;
const fresh = (name: string): TunnelStatus => {
  const { failure, ...tunnel } = downTunnel(name, { downSince: ago(2) });
  assert.ok(failure);
  return tunnel;
};

test('describes the worst tunnel in the first line when tunnels differ', () => {
  const up = upTunnel('a');
  const refusing = upTunnel('a', { health: 'degraded', forwards: [forwardStatus({ targetFailure: TARGET })] });
  const cases: readonly [string, readonly TunnelStatus[]][] = [
    ['2 of 2 up', [up, up]],
    ['2 of 2 up, 1 unverified', [up, upTunnel('b', { forwards: [forwardStatus({ verified: 'unknown' })] })]],
    ['1 of 3 down for 12s: the server stopped answering', [up, downTunnel('b'), up]],
    ['2 of 2 down for 1m: the server stopped answering', [downTunnel('a'), downTunnel('b', { downSince: ago(60) })]],
    ['1 of 3 connecting', [up, up, fresh('c')]],
    ['1 of 2 down for 12s: the server stopped answering', [fresh('a'), downTunnel('b')]],
    ['1 of 2 without an answer for 5s', [up, upTunnel('b', { silentSince: ago(5) })]],
    ['1 of 2 degraded: the target does not accept connections', [up, refusing]],
    // An outage that has just begun does not take the reason of the one before.
    ['1 of 1 down for 12s', [downTunnel('a', { failure: { ...TARGET, at: ago(600) } })]],
    [
      "1 of 1 down for 12s, and needs you: the server's host key has changed",
      [downTunnel('a', { phase: 'blocked', failure: { ...TARGET, code: 'host-key-changed', at: ago(12) } })],
    ],
  ];
  for (const [text, tunnels] of cases) assert.equal(summarize(tunnels, NOW).text, text);
});

test('puts the worst first, and the one that has been down for longest when several are', () => {
  const tunnels = [
    upTunnel('well'),
    downTunnel('down'),
    downTunnel('longer', { downSince: ago(100) }),
    fresh('new'),
    downTunnel('blocked', { phase: 'blocked' }),
    upTunnel('silent', { silentSince: ago(5) }),
  ];
  assert.deepEqual(
    worstFirst(tunnels).map(({ name }) => name),
    ['blocked', 'longer', 'down', 'silent', 'new', 'well'],
  );
});

test('shows a row a tunnel, with details when one is not well and a line when an outage is over', () => {
  const past = { cause: 'keepalive-lost', to: ago(960), durationMs: 4000 };
  const both = [forwardStatus({ connections: 3 }), forwardStatus({ kind: 'dynamic', listen: 'localhost:1080' })];
  const lines = formatStatus(
    statusOf([upTunnel('web', { forwards: both, lastOutage: past }), downTunnel('db')]),
    PLAIN,
  );
  assert.deepEqual(lines.slice(0, 4), [
    'tunneld: 1 of 2 down for 12s: the server stopped answering',
    'TUNNEL  STATE       SINCE    PORT           VERIFIED  VISITORS',
    'db      connecting  12s ago  8080           -         0',
    'web     up          1h ago   8080, -D 1080  yes       3',
  ]);
  assert.match(lines[5] ?? '', /^db: connecting, not up for 12s \(since .*\), limited@server:22, attempt 2$/);
  assert.deepEqual(lines.slice(9), [
    'web: down 4s, 16m ago: keepalive-lost',
    '',
    'tunneld 1.2.3, pid 7, started 2h ago',
  ]);
});

test('ends with why data is not encrypted by the addon', () => {
  const nativeCryptoProblem = 'there is none for linux on riscv64';
  assert.deepEqual(formatStatus({ ...statusOf([upTunnel('web')]), nativeCryptoProblem }, PLAIN).slice(-2), [
    'tunneld 1.2.3, pid 7, started 2h ago',
    'native crypto is not used: there is none for linux on riscv64',
  ]);
});

test('keeps the worst, and counts what is left out, when not all fits the terminal', () => {
  const message = `日本語 ${'long '.repeat(40)}`;
  const failure = { code: 'keepalive-lost', message, hint: 'Wait.', at: ago(12) } as const;
  const tunnels = [
    ...Array.from({ length: 47 }, (_, index) => upTunnel(`a-tunnel-with-a-long-name-${index}`)),
    downTunnel('one', { failure }),
    downTunnel('two', { failure }),
    downTunnel('three', { failure }),
  ];
  for (const height of [1, 2, 3, 5, 8, 24, 60, 200])
    for (const width of [10, 40, 80, 200]) {
      const lines = formatStatus(statusOf(tunnels), { colour: false, width, height });
      assert.ok(lines.length <= height, `${width}x${height}: ${lines.length}`);
      for (const line of lines) assert.ok(displayWidth(line) <= width, `${width}x${height}: ${line}`);
      if (height >= 8 && width >= 40) assert.match(lines.join('\n'), /^one {2}.*\n(.*\n)*three/m);
    }
  const at = (height: number) => formatStatus(statusOf(tunnels), { colour: false, width: 80, height });
  assert.equal(at(24).at(-1), '… 44 more tunnels and the details of 1: tunneld status | less');
  assert.match(at(8).at(-1) ?? '', /^… 45 more tunnels and the details of 3: /);
  assert.ok(!at(200).some((line) => line.startsWith('…')));
});

test('colours the first line and the state when colour is wanted', () => {
  const view = { ...PLAIN, colour: true };
  const lines = formatStatus(statusOf([upTunnel('a')]), view);
  assert.equal(lines[0], '\u001b[32mtunneld: 1 of 1 up\u001b[39m');
  const past = formatStatus(statusOf([upTunnel('a')]), view, { notes: ['no answer'], log: [] });
  assert.deepEqual(past.slice(0, 2), ['\u001b[31mno answer\u001b[39m', lines[0]]);
  assert.match(lines[2] ?? '', /^a {7}\u001b\[32mup\u001b\[39m {5}1h ago/);
});

test('lists open connections with origin, age and bytes when one tunnel is asked for', () => {
  const open = [
    { originator: '203.0.113.7:50123', target: 'localhost:22', since: ago(125), bytesIn: 2048, bytesOut: 7 },
    { originator: '[2001:db8::1]:9', target: 'other:80', since: ago(0), bytesIn: 0, bytesOut: 0 },
  ];
  const forward = forwardStatus({ connections: 5, openConnections: open });
  const lines = formatInDetail(statusOf([upTunnel('a', { forwards: [forward] })]), PLAIN);
  assert.match(lines[2] ?? '', /^ {5}203\.0\.113\.7:50123 {11}since .*, 2m 5s ago {2}2\.0 KiB in {2}7 B out$/);
  assert.match(lines[3] ?? '', /^ {5}\[2001:db8::1\]:9 → other:80 {2}since .*, 0s ago {4,}0 B in {6}0 B out$/);
  assert.equal(lines[4], '     and 3 that came later');
  const low = formatInDetail(statusOf([upTunnel('a', { forwards: [forward] })]), {
    colour: false,
    width: 30,
    height: 4,
  });
  assert.equal(low.length, 4);
  assert.match(low[3] ?? '', /^… \d+ more lines/);
});

test('names the key exchange and the algorithm of the host key when one tunnel that is up is asked for', () => {
  const agreed = { keyExchange: 'sntrup761x25519-sha512', hostKeyAlgorithm: 'ssh-ed25519' };
  const line = '  key exchange sntrup761x25519-sha512, host key ssh-ed25519';
  const linesOf = (tunnel: TunnelStatus) => formatInDetail(statusOf([tunnel]), PLAIN);
  assert.ok(linesOf(upTunnel('backup', agreed)).includes(line));
  assert.ok(!linesOf(downTunnel('backup', agreed)).includes(line));
  const hostCertificate = { keyId: 'relay', authority: 'ssh-ed25519 SHA256:x' };
  const certified = linesOf(upTunnel('backup', { ...agreed, hostCertificate }));
  assert.ok(
    certified.includes('  host key trusted by its certificate "relay" of ssh-ed25519 SHA256:x, valid for ever'),
    certified.join('\n'),
  );
});

test('names the certificate of the login, and warns of its end, when one tunnel is asked for', () => {
  const certificate = { keyId: 'device 7', serial: '3', principals: ['me', 'you'], authority: 'SHA256:x' };
  const linesOf = (more: object) =>
    formatInDetail(statusOf([upTunnel('backup', { certificate: { ...certificate, ...more } })]), PLAIN);
  assert.ok(linesOf({}).includes('  certificate of the agent (device 7) for me, you, valid for ever'));
  const ending = linesOf({ file: '/k-cert.pub', validUntil: '2030-01-01T12:00:00.000Z', problem: 'it ends' });
  assert.ok(ending.includes('  certificate /k-cert.pub (device 7) for me, you, valid until 2030-01-01T12:00:00.000Z'));
  assert.ok(ending.includes('  warning: it ends'));
});
