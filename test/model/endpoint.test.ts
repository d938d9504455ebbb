import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bindAddresses,
  type Endpoint,
  formatEndpoint,
  isLoopbackAddress,
  isLoopbackHost,
  isLoopbackListener,
  isWildcardHost,
  sameEndpoint,
} from '../../src/model/endpoint.ts';

const tcp = (host: string, port = 8080) => ({ type: 'tcp', host, port }) as const;
const unix = (path: string): Endpoint => ({ type: 'unix', path });

test('prints an endpoint as people write it', () => {
  const printed = [tcp('localhost'), tcp('::1'), tcp(''), unix('/run/a.sock'), { type: 'socks' } as const];
  assert.deepEqual(printed.map(formatEndpoint), ['localhost:8080', '[::1]:8080', '*:8080', '/run/a.sock', 'socks']);
});

test('compares endpoints as they are written, host names in any case', () => {
  assert.ok(sameEndpoint(tcp('LocalHost'), tcp('localhost')));
  assert.ok(sameEndpoint(unix('/run/a'), unix('/run/a')));
  for (const other of [tcp('localhost', 8081), tcp('127.0.0.1'), unix('/run/a'), unix('localhost:8080')])
    assert.ok(!sameEndpoint(tcp('localhost'), other), formatEndpoint(other));
  assert.ok(!sameEndpoint(unix('/run/a'), unix('/run/A')));
});

test('knows the addresses of loopback, in both families', () => {
  for (const address of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '::FFFF:127.0.0.1'])
    assert.ok(isLoopbackAddress(address), address);
  for (const address of ['localhost', '128.0.0.1', '::', '', '127.example.org', '::2'])
    assert.ok(!isLoopbackAddress(address), address);
});

test('takes localhost for the machine itself, and no name that only looks like an address', () => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.3', '::1']) assert.ok(isLoopbackHost(host), host);
  for (const host of ['localhost.example.org', '127.example.org', '10.0.0.1']) assert.ok(!isLoopbackHost(host), host);
});

test('knows which listeners sshd binds without GatewayPorts', () => {
  for (const host of ['localhost', 'LocalHost', '127.0.0.1', '::1']) assert.ok(isLoopbackListener(tcp(host)), host);
  for (const host of ['', '*', '0.0.0.0', '::', '127.0.0.2']) assert.ok(!isLoopbackListener(tcp(host)), host);
});

test('knows the hosts that stand for all addresses', () => {
  for (const host of ['', '*', '0.0.0.0', '::']) assert.ok(isWildcardHost(host), host);
  for (const host of ['localhost', '0.0.0.1', '::1']) assert.ok(!isWildcardHost(host), host);
});

test('names the addresses to bind for a listener', () => {
  assert.deepEqual(bindAddresses('localhost'), ['127.0.0.1', '::1']);
  assert.deepEqual(bindAddresses(''), ['0.0.0.0', '::']);
  assert.deepEqual(bindAddresses('192.0.2.1'), ['192.0.2.1']);
});
