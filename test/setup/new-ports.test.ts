import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { editTunnel } from '../../src/setup/edit-config.ts';
import { fixedPorts, remoteForwardWith, withPorts } from '../../src/setup/new-ports.ts';

test('gives the fixed ports of a tunnel others, and spells its forwards as they were spelled', async () => {
  for (const [before, after] of [
    ['8080:localhost:22', '9001:localhost:22'],
    [
      '["*:8080:localhost:22", 0:localhost:80, "8081:[::1]:80"]',
      '[*:9001:localhost:22, 0:localhost:80, 9002:[::1]:80]',
    ],
    ['8080 localhost:22', '{ listen: localhost:9001, target: localhost:22 }'],
    ['{ listen: 8080, target: localhost:22 }', '{ listen: localhost:9001, target: localhost:22 }'],
    ['[{ listen: "localhost:8080", target: socks }]', '[{ listen: localhost:9001, target: socks }]'],
  ] as const) {
    const text = `tunnels:\n  a:\n    host: h\n    sshConfig: none\n    remoteForward: ${before}\n`;
    const parse = async (yaml: string) => (await parseConfig(yaml, '/x/config.yaml', systemEnvironment())).tunnels[0]!;
    const tunnel = await parse(text);
    const wanted = withPorts(
      tunnel,
      fixedPorts(tunnel).map((_, index) => 9001 + index),
    );
    const edited = editTunnel(text, 'a', { remoteForward: remoteForwardWith(text, wanted) });
    assert.equal(edited.replaceAll(/["']/g, ''), text.replace(before, after).replaceAll(/["']/g, ''));
    assert.deepEqual((await parse(edited)).forwards, wanted.forwards);
  }
});
