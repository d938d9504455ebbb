import assert from 'node:assert/strict';
import { test } from 'node:test';
import { proxyHeader } from '../../../src/forwarding/visitors/proxy-protocol.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import type { ForwardSpec, ProxyProtocol } from '../../../src/model/spec.ts';

const at = (host: string, port = 8080): Endpoint => ({ type: 'tcp', host, port });
const socket: Endpoint = { type: 'unix', path: '/run/a.sock' };
const forward = (proxyProtocol?: ProxyProtocol): ForwardSpec => ({
  kind: 'remote',
  listen: at('localhost'),
  target: at('localhost', 80),
  ...(proxyProtocol && { proxyProtocol }),
});
const SIGNATURE = '0d0a0d0a000d0a515549540a';

const CASES: readonly (readonly [what: string, originator: string, listen: Endpoint, v1: string, v2: string])[] = [
  [
    'IPv4',
    '192.0.2.7:51234',
    at('203.0.113.1'),
    'TCP4 192.0.2.7 203.0.113.1 51234 8080',
    '21 11 000c c0000207 cb007101 c822 1f90',
  ],
  [
    'localhost',
    '127.0.0.1:1',
    at('localhost'),
    'TCP4 127.0.0.1 127.0.0.1 1 8080',
    '21 11 000c 7f000001 7f000001 0001 1f90',
  ],
  ['all addresses', '192.0.2.7:9', at(''), 'TCP4 192.0.2.7 0.0.0.0 9 8080', '21 11 000c c0000207 00000000 0009 1f90'],
  [
    'a listener by name',
    '192.0.2.7:9',
    at('a.example'),
    'TCP4 192.0.2.7 0.0.0.0 9 8080',
    '21 11 000c c0000207 00000000 0009 1f90',
  ],
  [
    'IPv4 in IPv6',
    '::ffff:192.0.2.7:9',
    at('::'),
    'TCP4 192.0.2.7 0.0.0.0 9 8080',
    '21 11 000c c0000207 00000000 0009 1f90',
  ],
  [
    'IPv6',
    '2001:db8::7:9',
    at('2001:db8:0:1:2:3:4:5', 65_535),
    'TCP6 2001:db8::7 2001:db8:0:1:2:3:4:5 9 65535',
    '21 21 0024 20010db8000000000000000000000007 20010db8000000010002000300040005 0009 ffff',
  ],
  [
    'IPv6 of localhost',
    '::1:9',
    at('localhost'),
    'TCP6 ::1 ::1 9 8080',
    '21 21 0024 00000000000000000000000000000001 00000000000000000000000000000001 0009 1f90',
  ],
  [
    'IPv6 with an interface',
    'fe80::1%eth0:9',
    at('*'),
    'TCP6 fe80::1 :: 9 8080',
    '21 21 0024 fe800000000000000000000000000001 00000000000000000000000000000000 0009 1f90',
  ],
  [
    'IPv6 that ends like IPv4',
    '64:ff9b::192.0.2.7:9',
    at('::'),
    'TCP6 64:ff9b::192.0.2.7 :: 9 8080',
    '21 21 0024 0064ff9b0000000000000000c0000207 00000000000000000000000000000000 0009 1f90',
  ],
  ['a Unix socket', 'a local process of the server', socket, 'UNKNOWN', '20 00 0000'],
  ['a name', 'host.example:9', at(''), 'UNKNOWN', '20 00 0000'],
  ['an address with more behind it', '192.0.2.7 1\\r\\n:9', at(''), 'UNKNOWN', '20 00 0000'],
  ['a port that is none', '192.0.2.7:70000', at(''), 'UNKNOWN', '20 00 0000'],
  ['no port', '192.0.2.7', at(''), 'UNKNOWN', '20 00 0000'],
];

for (const [what, originator, listen, v1, v2] of CASES) {
  test(`writes the PROXY header when the visitor is at ${what}`, () => {
    assert.equal(String(proxyHeader(forward('v1'), { originator, listen })), `PROXY ${v1}\r\n`);
    const binary = proxyHeader(forward('v2'), { originator, listen });
    assert.equal(binary?.toString('hex'), SIGNATURE + v2.replaceAll(' ', ''));
  });
}

test('names no visitor when a target is checked, and writes nothing when the forward has no proxyProtocol', () => {
  assert.equal(String(proxyHeader(forward('v1'), null)), 'PROXY UNKNOWN\r\n');
  assert.equal(proxyHeader(forward('v2'), null)?.toString('hex'), `${SIGNATURE}20000000`);
  assert.equal(proxyHeader(forward(), { originator: '192.0.2.7:1', listen: at('') }), null);
});
