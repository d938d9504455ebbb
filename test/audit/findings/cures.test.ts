import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curesOf } from '../../../src/audit/findings/cures.ts';
import { auditDocument } from '../../../src/audit/document.ts';
import type { TunnelAudit } from '../../../src/audit/findings/finding.ts';
import { TRIABLE, neededBy } from '../../../src/audit/findings/hole.ts';
import { accessOf } from '../../../src/server-rules/access.ts';
import { keyOptions, matchBlock, matchOptions } from '../../../src/server-rules/rules.ts';
import type { ForwardSpec } from '../../../src/model/spec.ts';
import { specFor } from '../../support/login.ts';

const tcp = (host: string, port: number) => ({ type: 'tcp', host, port }) as const;
const unix = (path: string) => ({ type: 'unix', path }) as const;
const remote = (listen: ForwardSpec['listen']): ForwardSpec => ({
  kind: 'remote',
  listen,
  target: tcp('localhost', 22),
});
const local = (target: ForwardSpec['target']): ForwardSpec => ({ kind: 'local', listen: tcp('localhost', 1), target });

const accessFor = (forwards: readonly ForwardSpec[]) => accessOf({ name: 'a', forwards, verify: 'auto' }, false);

test('finds nothing when the tunnel needs what is open', () => {
  const needs = (forwards: readonly ForwardSpec[], passwordFile: string | null = null) => [
    ...neededBy(accessFor(forwards), { forwards, passwordFile }).keys(),
  ];
  assert.deepEqual(needs([remote(tcp('localhost', 8080)), remote(tcp('', 80)), local(tcp('a', 1))]), []);
  assert.deepEqual(needs([remote(tcp('localhost', 0)), remote(tcp('', 0))]), [
    'listen-port',
    'listen-privileged',
    'listen-everywhere',
    'connect-server',
  ]);
  assert.deepEqual(needs([remote(unix('/a'))]), ['listen-socket']);
  assert.deepEqual(needs([local({ type: 'socks' })]), ['connect-server', 'connect-elsewhere']);
  assert.deepEqual(needs([local(unix('/a'))]), []);
  assert.deepEqual(needs([local(unix('/a b'))]), ['connect-server', 'connect-elsewhere', 'connect-socket']);
  assert.deepEqual(needs([], '/password'), ['password', 'keyboard-interactive']);
});

test('has a cure for every hole, unless another tunnel needs it', () => {
  const forwards = [remote(tcp('localhost', 8080))];
  const cure = (hole: (typeof TRIABLE)[number], of = forwards) =>
    curesOf(hole, keyOptions(accessFor(of)), matchBlock('limited', matchOptions(accessFor(of), ['publickey'])));
  for (const hole of TRIABLE) assert.equal(cure(hole).sshdConfig.length, 1, hole);
  assert.deepEqual(cure('x11'), { authorizedKeys: ['restrict', 'port-forwarding'], sshdConfig: ['X11Forwarding no'] });
  assert.deepEqual(cure('connect-server', [local(tcp('a', 1))]).authorizedKeys, ['permitopen="a:1"']);
  assert.deepEqual(cure('connect-server', [...forwards, local({ type: 'socks' })]), {
    authorizedKeys: [],
    sshdConfig: [],
  });
});

test('shares a block when tunnels have the same user, and an authorized_keys line when they have the same key', () => {
  const base = { identityFiles: ['/key'], identitiesOnly: true };
  const tunnels = [
    specFor({ ...base, name: 'a', forwards: [remote(tcp('localhost', 1001))] }),
    specFor({ ...base, name: 'b', forwards: [remote(tcp('localhost', 1002))] }),
    specFor({ ...base, name: 'c', identityFiles: ['/other'], forwards: [remote(tcp('localhost', 1003))] }),
    specFor({ ...base, name: 'd', user: 'somebody', forwards: [remote(tcp('localhost', 1004))] }),
  ];
  const audit: TunnelAudit = {
    name: 'a',
    serverVersion: 'OpenSSH_9.2p1',
    login: { methods: ['publickey', 'password'], fingerprint: 'SHA256:x', offered: ['publickey'] },
    failure: null,
    findings: [{ hole: 'command', verdict: 'open', detail: '' }],
    notTried: [],
    sure: false,
    readFiles: false,
  };
  const { version, tunnels: reports } = auditDocument('1.2.3', [audit], tunnels);
  assert.equal(version, '1.2.3');
  assert.deepEqual(reports[0]?.findings, [
    {
      hole: 'command',
      verdict: 'open',
      meaning: 'the holder of this key can run any program as user limited',
      closedBy: {
        authorizedKeys: ['command="false"'],
        sshdConfig: ['ForceCommand false'],
      },
    },
  ]);
  assert.match(
    reports[0]?.lines.authorizedKeys ?? '',
    /permitlisten="localhost:1001",permitlisten="localhost:1002",permitopen/,
  );
  const block = reports[0]?.lines.sshdConfig.join('\n') ?? '';
  assert.match(block, /PermitListen localhost:1001 localhost:1002 localhost:1003\n/);
  assert.match(block, /AuthenticationMethods publickey,password publickey\n/);
});
