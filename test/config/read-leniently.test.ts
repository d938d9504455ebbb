import assert from 'node:assert/strict';
import { test } from 'node:test';
import { peek } from '../../src/config/read-leniently.ts';

test('finds paths when the file is not valid', () => {
  const own = 'control: { socket: run/s }\nstateDirectory: ~/state\n';
  const found = { socket: '/etc/run/s', stateDirectory: '/home/pi/state' };
  const texts = [
    own,
    `tunnels:\n  a:\n\thost: x\n    port: 1\n${own}`,
    `tunnels: {\n${own}`,
    `tunnels:\n  a: 'x\n${own}`,
    `${own}tunnels: [`,
    'control: # ours\n  socket: run/s\n\n# and\nstateDirectory: "~/state"\ntunnels:\n\tx',
    own.replaceAll('\n', '\r\n'),
  ];
  for (const text of texts) assert.deepEqual(peek(text, '/etc/c.yaml', '/home/pi'), found, text);
});

test('returns null when nothing is said, or what is said is no path', () => {
  const nothing = { socket: null, stateDirectory: null };
  for (const text of [
    '',
    'tunnels:',
    'control: 5\nstateDirectory: []',
    'control: {',
    'control:\nstateDirectory:',
    ' control: { socket: x }',
  ])
    assert.deepEqual(peek(text, '/etc/c.yaml', '/home/pi'), nothing, text);
});
