import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { systemEnvironment } from '../src/config/input/environment.ts';
import { parseConfig } from '../src/config/parse.ts';
import { servedKeys } from '../src/config/schema/schema.ts';

const example = readFileSync(new URL('../config.example.yaml', import.meta.url), 'utf8');
const environment = systemEnvironment();

test('is valid as it stands, and when every line of it is switched on', async () => {
  assert.equal((await parseConfig(example, '/c.yaml', environment)).tunnels.length, 1);
  const everything = example.replaceAll(/^( *)# ( *[a-zA-Z]+:( .*)?)$/gm, '$1$2');
  const config = await parseConfig(everything, '/c.yaml', environment);
  const [tunnel] = config.tunnels;
  assert.equal(tunnel?.bindAddress, '192.168.1.20');
  assert.deepEqual(tunnel.hostKeyAlgorithms, ['ssh-ed25519', 'rsa-sha2-512']);
  assert.equal(config.log.file, '/var/log/tunneld.log');
  assert.deepEqual(config.network.ping, ['8.8.8.8', '1.1.1.1']);
});

test('shows every key that is served', () => {
  const keys = Object.keys(servedKeys({ home: '/', env: {}, directory: '/', aes: true }));
  assert.ok(keys.length > 20);
  for (const key of keys) assert.match(example, new RegExp(`\\b${key}:`));
});
