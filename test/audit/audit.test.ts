import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { TRIABLE } from '../../src/audit/findings/hole.ts';
import { accessOf } from '../../src/server-rules/access.ts';
import { keyOptions, matchBlock, matchOptions } from '../../src/server-rules/rules.ts';
import type { ForwardSpec } from '../../src/model/spec.ts';
import { specFor, startTunnel } from '../support/tunnel.ts';
import { skippingClock } from '../support/skipping-clock.ts';
import { startSshd } from '../support/sshd.ts';
import { freePort, tempDir, until } from '../support/until.ts';
import { scaledClock } from '../support/scaled-clock.ts';
import { auditOf, auditSshd, holesOf, LISTEN } from './audit-sshd.ts';

const { username: user, uid } = userInfo();
const isRoot = uid === 0;
const FORWARD: ForwardSpec = {
  kind: 'remote',
  listen: { type: 'tcp', host: 'localhost', port: LISTEN },
  target: { type: 'tcp', host: '127.0.0.1', port: 1 },
};
const accessFor = (forward: ForwardSpec) => accessOf({ name: 'test', forwards: [forward], verify: 'auto' }, true);
const optionsFor = (forward: ForwardSpec) => keyOptions(accessFor(forward)).join(',');
const blockFor = (forward: ForwardSpec) => matchBlock(user, matchOptions(accessFor(forward), ['publickey']));
const OPTIONS = optionsFor(FORWARD);
const BLOCK = blockFor(FORWARD);

/** Whom the listeners serve cannot be seen over loopback. */
const TRIED = TRIABLE.filter((hole) => hole !== 'listen-public');

/** The line of it that a case with a command in the key's line does without. */
const FORCED = BLOCK.at(-1)!;

/** The block with other lines of its own in front, which win. */
const blockWith = (...lines: readonly string[]) => [BLOCK[0]!, ...lines, ...BLOCK.slice(1)];

// One after the other: an audit has the server listen on the port that another one takes for free.
describe('audit', () => {
  test('finds every hole when everything is open', async (t) => {
    const config = [
      'Subsystem sftp internal-sftp',
      'X11Forwarding yes',
      'XAuthLocation /bin/sh',
      'GatewayPorts clientspecified',
      'PasswordAuthentication yes',
      'KbdInteractiveAuthentication yes',
      'AcceptEnv *',
      'PermitTunnel yes',
      'ListenAddress 127.0.0.2',
    ];
    const { report } = await auditSshd(t, { config }, { host: '127.0.0.2' });
    // Nothing listens on the tunnel's port, for others either.
    const closed = [...(isRoot ? [] : ['listen-privileged']), 'listen-public', 'no-credentials'];
    assert.deepEqual(holesOf(report, 'closed'), closed, JSON.stringify(report, null, 1));
    assert.deepEqual(holesOf(report, 'unknown'), []);
    assert.deepEqual(
      report.findings.map(({ hole }) => hole),
      TRIABLE,
    );
    assert.deepEqual(report.lines, { authorizedKeys: OPTIONS, sshdConfig: BLOCK });
    // A nameless socket leaves nothing behind. Where another audit of this machine has that one at the moment, the report names the file.
    const named = /\/tmp\/tunneld-audit-\w+\.sock/.exec(JSON.stringify(report))?.[0];
    if (named === undefined) assert.equal(detailOf(report, 'listen-socket'), '');
    else rmSync(named);
  });

  test('keeps the tunnel up when the printed lines have closed everything', async (t) => {
    const config = ['Subsystem sftp internal-sftp', 'X11Forwarding yes', ...BLOCK];
    const { report } = await auditSshd(t, { keyOptions: OPTIONS, config });
    assert.deepEqual(holesOf(report, 'closed'), TRIED, JSON.stringify(report, null, 1));
    assert.equal(report.verdict, 'closed-as-tried');

    const port = await freePort();
    const forward = { ...FORWARD, listen: { type: 'tcp', host: 'localhost', port } as const };
    const own = await startSshd({
      keyOptions: optionsFor(forward),
      config: blockFor(forward),
    });
    t.after(() => own.stop());
    await startTunnel(t, specFor(own, [[port, 1]])).untilPhase('up');
    const beside = await auditOf(specFor(own, [[port, 1]]));
    assert.deepEqual(holesOf(beside, 'closed'), TRIED);
  });

  test('leaves only Unix sockets and passwords open when the key alone has its options', async (t) => {
    const config = ['Subsystem sftp internal-sftp', 'X11Forwarding yes', 'PasswordAuthentication yes'];
    const { report } = await auditSshd(t, { keyOptions: OPTIONS, config });
    assert.deepEqual(holesOf(report, 'open'), ['listen-socket', 'password']);
    assert.deepEqual(holesOf(report, 'unknown'), []);
  });

  test('finds commands open when the key has only `restrict` and the port', async (t) => {
    const keyOptions = `restrict,port-forwarding,permitlisten="localhost:${LISTEN}"`;
    const { report } = await auditSshd(t, { keyOptions, config: ['Subsystem sftp internal-sftp'] });
    assert.deepEqual(holesOf(report, 'open'), [
      'command',
      'shell',
      'sftp',
      'connect-server',
      'connect-elsewhere',
      'connect-socket',
      'listen-socket',
    ]);
  });
});

/** What opens it although all else is closed; some cannot be opened without others. */
const OPENED: readonly {
  readonly holes: readonly string[];
  readonly block: readonly string[];
  /** Of the key's line, with nothing forced in sshd_config. */
  readonly key?: string;
  readonly config?: readonly string[];
  readonly needsRoot?: true;
}[] = [
  {
    holes: ['command'],
    block: [],
    key: 'command="test -n \\"$SSH_ORIGINAL_COMMAND\\" && exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""',
  },
  { holes: ['shell'], block: [], key: 'command="test -z \\"$SSH_ORIGINAL_COMMAND\\" && exec sh"' },
  { holes: ['sftp'], block: [], key: 'command="internal-sftp"', config: ['Subsystem sftp internal-sftp'] },
  { holes: ['terminal'], block: ['PermitTTY yes'] },
  { holes: ['agent'], block: ['AllowAgentForwarding yes'] },
  { holes: ['x11'], block: ['X11Forwarding yes'], config: ['XAuthLocation /bin/sh'] },
  { holes: ['connect-server'], block: ['AllowTcpForwarding yes', 'PermitOpen 127.0.0.1:22'] },
  { holes: ['connect-elsewhere'], block: ['AllowTcpForwarding yes', 'PermitOpen 127.0.0.2:1'] },
  {
    holes: ['connect-server', 'connect-elsewhere', 'connect-socket', 'listen-socket'],
    block: ['AllowTcpForwarding yes', 'PermitOpen any', 'AllowStreamLocalForwarding yes'],
  },
  {
    holes: isRoot ? ['listen-port', 'listen-privileged'] : ['listen-port'],
    block: ['PermitListen localhost:*'],
  },
  {
    holes: ['listen-port', 'listen-everywhere', ...(isRoot ? ['listen-privileged'] : [])],
    block: ['PermitListen any', 'GatewayPorts clientspecified'],
  },
  {
    holes: ['listen-privileged'],
    block: [`PermitListen ${[703, 704, 705, 706, 707, 708].map((port) => `localhost:${port}`).join(' ')}`],
    needsRoot: true,
  },
  { holes: ['listen-socket'], block: ['AllowStreamLocalForwarding remote'] },
  { holes: ['password'], block: ['AuthenticationMethods any', 'PasswordAuthentication yes'] },
  { holes: ['keyboard-interactive'], block: ['AuthenticationMethods any', 'KbdInteractiveAuthentication yes'] },
];

describe('one hole, and its cure', () => {
  for (const { holes, block, key = '', config = [], needsRoot } of OPENED) {
    test(
      `${holes.join(', ')}: ${block.join('; ')}${key}`,
      { skip: needsRoot && !isRoot && 'needs root' },
      async (t) => {
        const seen = async (keyOptions: string, lines: readonly string[]) => {
          const all = [
            'ListenAddress 127.0.0.2',
            ...config,
            ...blockWith(...lines).filter((line) => key === '' || line !== FORCED),
          ];
          const { report } = await auditSshd(t, { keyOptions, config: all }, { host: '127.0.0.2' });
          assert.deepEqual(holesOf(report, 'unknown'), [], JSON.stringify(report, null, 1));
          return report;
        };
        const report = await seen(key, block);
        assert.deepEqual(holesOf(report, 'open'), holes);
        const cures = report.findings.filter(({ verdict }) => verdict === 'open').map(({ closedBy }) => closedBy);
        const onServer = cures.flatMap(({ sshdConfig }) => sshdConfig);
        assert.deepEqual(holesOf(await seen(key, [...onServer.map((line) => ` ${line} `), ...block]), 'open'), []);
        const ofKey = cures.flatMap(({ authorizedKeys }) => authorizedKeys);
        const left = holes.filter((hole) => ['listen-socket', 'password', 'keyboard-interactive'].includes(hole));
        assert.deepEqual(holesOf(await seen([...new Set(ofKey)].join(','), block), 'open'), left);
      },
    );
  }

  test('finds open Unix sockets when the server has one to connect to', async (t) => {
    const path = join(await tempDir(t), 'some.sock');
    const server = createServer((socket) => socket.on('error', () => {}).destroy()).listen(path);
    t.after(() => server.close());
    const config = blockWith('AllowTcpForwarding yes', 'PermitOpen any', 'AllowStreamLocalForwarding local');
    const { report } = await auditSshd(t, { config }, {}, ['/nonexistent', path]);
    assert.deepEqual(holesOf(report, 'open'), ['connect-server', 'connect-elsewhere', 'connect-socket']);
    assert.match(report.findings.find(({ hole }) => hole === 'connect-socket')?.detail ?? '', /some\.sock/);
  });

  test('finds no hole when a listener for everybody is one that the server makes for itself alone', async (t) => {
    const config = ['ListenAddress 127.0.0.2', ...blockWith('PermitListen any', 'GatewayPorts no')];
    // A slow server has more time for its answer, which shows whom it serves.
    const { report } = await auditSshd(t, { config }, { host: '127.0.0.2' }, [], scaledClock(1 / 10));
    assert.deepEqual(holesOf(report, 'open'), isRoot ? ['listen-port', 'listen-privileged'] : ['listen-port']);
    assert.match(detailOf(report, 'listen-everywhere'), /GatewayPorts no/);
    const near = await auditSshd(t, { config });
    assert.deepEqual(holesOf(near.report, 'unknown'), ['listen-everywhere']);
  });

  test('takes a forced command for no shell when it only answers, and shows what it answers', async (t) => {
    const repeats = await auditSshd(t, { config: blockWith('ForceCommand echo "$SSH_ORIGINAL_COMMAND"; cat') });
    assert.deepEqual(holesOf(repeats.report, 'open'), []);
    assert.match(detailOf(repeats.report, 'command'), /something of its own instead: echo [0-9a-f]+""/);
    const nasty = await auditSshd(t, { config: blockWith(`ForceCommand printf 'a\\033[31mb\\n'`) });
    assert.match(detailOf(nasty.report, 'command'), /a\\x1b\[31mb/);
  });

  test('leaves a forced command undecided when it does not end', async (t) => {
    const note = join(await tempDir(t), 'note');
    writeFileSync(note, '');
    const command = `ForceCommand echo wait; echo said >>${note}; sleep 60`;
    const config = ['Subsystem sftp internal-sftp', ...blockWith(command)];
    const clock = skippingClock();
    const audited = auditSshd(t, { config }, {}, [], clock);
    for (const told of ['said\n', 'said\nsaid\n', 'said\nsaid\nsaid\n']) {
      await until(() => readFileSync(note, 'utf8') === told, { what: 'the words of the command' });
      await wait(1000); // for their way through the server
      assert.equal(clock.skip(5000), 1);
    }
    const { report } = await audited;
    assert.deepEqual(holesOf(report, 'unknown'), ['command', 'shell', 'sftp']);
    assert.match(detailOf(report, 'shell'), /nothing followed: wait/);
    assert.deepEqual(holesOf(report, 'open'), []);
  });

  test('tries the server, and not the jump, when it is behind one', async (t) => {
    const jump = await startSshd();
    t.after(() => jump.stop());
    const { report, sshd } = await auditSshd(t, { config: BLOCK }, { jumps: [specFor(jump, [[LISTEN, 1]])] });
    assert.deepEqual(holesOf(report, 'open'), []);
    assert.deepEqual(holesOf(report, 'unknown'), []);
    assert.match(report.notTried[0]?.what ?? '', new RegExp(`:${jump.port}$`));
    assert.doesNotMatch(jump.log(), /Starting session/);
    await sshd.waitForLog(/Starting session/);
  });

  test("asks never for the configured port, and uses the tunnel's key, when it logs in", async (t) => {
    const { sshd } = await auditSshd(t, {});
    assert.doesNotMatch(readFileSync(sshd.authorizedKeysFile, 'utf8'), /restrict/);
    assert.doesNotMatch(sshd.log(), new RegExp(`(?:localhost|127\\.0\\.0\\.1) port ${LISTEN}\\b`));
    await sshd.waitForLog(/Accepted publickey/);
    assert.equal(sshd.log().match(/Accepted publickey/g)?.length, 1);
  });
});

function detailOf(
  report: { readonly findings: readonly { readonly hole: string; readonly detail?: string }[] },
  hole: string,
): string {
  return report.findings.find((finding) => finding.hole === hole)?.detail ?? '';
}
