import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessOf, allowsOpen, combine } from '../../src/server-rules/access.ts';
import { keyOptions, matchBlock, matchOptions } from '../../src/server-rules/rules.ts';
import type { ForwardSpec } from '../../src/model/spec.ts';

const tcp = (host: string, port: number) => ({ type: 'tcp', host, port }) as const;
const unix = (path: string) => ({ type: 'unix', path }) as const;
const remote = (listen: ForwardSpec['listen']): ForwardSpec => ({
  kind: 'remote',
  listen,
  target: tcp('localhost', 22),
});
const local = (target: ForwardSpec['target']): ForwardSpec => ({ kind: 'local', listen: tcp('localhost', 1), target });
const accessFor = (forwards: readonly ForwardSpec[], verify: 'auto' | 'off' = 'off') =>
  accessOf({ name: 'a', forwards, verify }, false);

/** The options between those that are always there, and what of a block depends on the forwards. */
const TABLE: readonly (readonly [readonly ForwardSpec[], 'auto' | 'off', string, readonly string[]])[] = [
  [
    [remote(tcp('localhost', 8080))],
    'off',
    'permitlisten="localhost:8080",permitopen="none.invalid:1"',
    ['remote', 'localhost:8080', 'none', 'no', 'no'],
  ],
  [
    [remote(tcp('localhost', 8080))],
    'auto',
    'permitlisten="localhost:8080",permitopen="localhost:8080",permitopen="127.0.0.1:8080",permitopen="[::1]:8080",permitopen="127.0.0.2:8080"',
    ['yes', 'localhost:8080', 'localhost:8080 127.0.0.1:8080 [::1]:8080', 'no', 'no'],
  ],
  [
    [remote(tcp('', 80)), remote(tcp('::1', 0)), remote(tcp('Localhost', 81)), remote(tcp('localhost', 81))],
    'off',
    'permitlisten="*:80",permitlisten="[::1]:*",permitlisten="localhost:81",permitopen="none.invalid:1"',
    ['remote', '*:80 [::1]:* localhost:81', 'none', 'clientspecified', 'no'],
  ],
  [
    // What sshd makes a listener of loopback is only allowed where no block says otherwise.
    [remote(tcp('10.0.0.5', 80))],
    'auto',
    'permitlisten="10.0.0.5:80",permitopen="10.0.0.5:80",permitopen="localhost:80",permitopen="127.0.0.1:80",permitopen="[::1]:80"',
    ['yes', '10.0.0.5:80', '10.0.0.5:80', 'clientspecified', 'no'],
  ],
  [
    // A target is compared as it is.
    [local(tcp('MailServer', 110))],
    'auto',
    'permitlisten="none.invalid:1",permitopen="MailServer:110"',
    ['local', 'none', 'MailServer:110', 'no', 'no'],
  ],
  [
    [remote(unix('/run/a.sock')), local({ type: 'socks' }), local(tcp('a', 1))],
    'auto',
    'permitlisten="none.invalid:1"',
    ['yes', 'none', 'any', 'no', 'yes'],
  ],
  [
    [remote(unix('/run/a.sock'))],
    'off',
    'permitlisten="none.invalid:1",permitopen="none.invalid:1"',
    ['remote', 'none', 'none', 'no', 'remote'],
  ],
  [
    [local(unix('/run/db.sock'))],
    'off',
    'permitlisten="none.invalid:1",permitopen="[/run/db.sock]:*"',
    ['local', 'none', '[/run/db.sock]:*', 'no', 'local'],
  ],
  [[local(unix('/run/d b.sock'))], 'off', 'permitlisten="none.invalid:1"', ['local', 'none', 'any', 'no', 'local']],
];

test('allows what is needed, and nothing else, when a tunnel has such forwards', () => {
  for (const [forwards, verify, options, [tcpSides, listens, opens, gateway, sockets]] of TABLE) {
    const access = accessFor(forwards, verify);
    assert.equal(keyOptions(access).join(','), `restrict,port-forwarding,${options},command="false"`);
    assert.deepEqual(matchBlock('limited', matchOptions(access, ['publickey'])), [
      'Match User limited',
      '  AuthenticationMethods publickey',
      '  DisableForwarding no',
      `  AllowTcpForwarding ${tcpSides}`,
      `  PermitListen ${listens}`,
      `  PermitOpen ${opens}`,
      `  GatewayPorts ${gateway}`,
      `  AllowStreamLocalForwarding ${sockets}`,
      ...(access.socketListener ? ['  StreamLocalBindUnlink yes'] : []),
      '  AllowAgentForwarding no',
      '  X11Forwarding no',
      '  PermitTunnel no',
      '  PermitTTY no',
      '  PermitUserRC no',
      '  AcceptEnv NONE',
      '  ForceCommand false',
    ]);
  }
});

test('matches a user alone when the name means something in a pattern', () => {
  for (const [user, first] of [
    ['a b', '"a b"'],
    ['a,b', 'a?b'],
    ['!a*', '?a?'],
    ['a"b', '"a?b"'],
  ] as const)
    assert.equal(matchBlock(user, [])[0], `Match User ${first}`);
});

test('allows a target by its text, as sshd compares', () => {
  const { opens } = combine([
    accessFor([local(tcp('a', 1)), local(tcp('b', 0))]),
    accessFor([remote(tcp('localhost', 5))], 'auto'),
  ]);
  const allowed = (host: string, port: number) => allowsOpen(opens, tcp(host, port));
  assert.deepEqual(
    [allowed('a', 1), allowed('A', 1), allowed('a', 2), allowed('b', 7), allowed('127.0.0.1', 5), allowed('::1', 5)],
    [true, false, false, true, true, true],
  );
  assert.equal(allowsOpen('any', tcp('x', 1)), true);
});
