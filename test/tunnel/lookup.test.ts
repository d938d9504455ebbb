import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mayBuildNetworks } from '../lab/lab-test.ts';
import { startDns } from '../support/dns.ts';
import { tempDir, until } from '../support/until.ts';

const SILENT = '127.0.53.1';
const ANSWERS = '127.0.53.2';
const NAME = 'late.example.org';

test('another name server is asked while the first is still waited for', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const { asked } = await startDns(t, ANSWERS);
  let waiting = 0;
  const silent = createSocket('udp4', () => (waiting += 1)).bind(53, SILENT);
  await once(silent, 'listening');
  t.after(() => silent.close());

  const resolvConf = join(await tempDir(t), 'resolv.conf');
  // It alone would be waited for for two and a half minutes.
  writeFileSync(resolvConf, `nameserver ${SILENT}\noptions timeout:30 attempts:5\n`);
  const module = fileURLToPath(new URL('../../src/tunnel/lookup.ts', import.meta.url));
  const program = `import(${JSON.stringify(module)}).then(async ({ systemLookup }) => {
    console.log(JSON.stringify(await systemLookup("${NAME}", 0)));
    process.exit();
  });`;
  const node = `exec ${process.execPath} --import tsx -e '${program}'`;
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', `${MOUNT} && ${node}`], {
    env: { ...process.env, RESOLV_CONF: resolvConf },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(() => waiting > 0, { what: 'a question to the silent one', timeoutMs: 20_000 });
  writeFileSync(resolvConf, `nameserver ${ANSWERS}\n`);
  await until(() => said !== '', { what: 'the answer' });
  assert.deepEqual(JSON.parse(said), [{ address: '127.0.0.1', family: 4 }]);
  assert.ok(asked.has(NAME));
});

const MOUNT = 'mount --bind "$RESOLV_CONF" /etc/resolv.conf';
