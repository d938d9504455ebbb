import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startDns } from '../../support/dns.ts';
import { startSshd } from '../../support/sshd.ts';
import { PROGRAM, tunneld } from '../../support/tunneld.ts';
import { separately } from '../../support/separately.ts';
import { freePort, tempDir, until } from '../../support/until.ts';

const SILENT = '127.0.53.1';
const ANSWERS = '127.0.53.2';
/** Where nothing listens. */
const NOBODY = '127.0.53.3';
const NAME = 'late.example.org';

test('asks another name server while the first is silent', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const { asked } = await startDns(t, ANSWERS);
  let waiting = 0;
  const silent = createSocket('udp4', () => (waiting += 1)).bind(53, SILENT);
  await once(silent, 'listening');
  t.after(() => silent.close());

  const resolvConf = join(await tempDir(t), 'resolv.conf');
  // It alone would be waited for for two and a half minutes.
  writeFileSync(resolvConf, `nameserver ${SILENT}\noptions timeout:30 attempts:5\n`);
  const module = separately('src/net/addresses/resolve-host.ts');
  const program = `import(${JSON.stringify(module.url)}).then(async ({ systemLookup }) => {
    console.log(JSON.stringify(await systemLookup("${NAME}", 0)));
    process.exit();
  });`;
  const node = `exec ${module.node.join(' ')} -e '${program}'`;
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', `${MOUNT} && ${node}`], {
    env: { ...process.env, RESOLV_CONF: resolvConf },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(() => waiting > 0, { what: 'a question to the silent one' });
  writeFileSync(resolvConf, `nameserver ${ANSWERS}\n`);
  await until(() => said !== '', { what: 'the answer' });
  assert.deepEqual(JSON.parse(said), [{ address: '127.0.0.1', family: 4 }]);
  assert.ok(asked.has(NAME));
});

test('looks an unknown name up again as soon as there is another name server', async (t) => {
  if (!mayBuildNetworks(t)) return;
  await startDns(t, ANSWERS);
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const dir = await tempDir(t);
  const resolvConf = join(dir, 'resolv.conf');
  writeFileSync(resolvConf, `nameserver ${NOBODY}\n`);
  const config = join(dir, 'config.yaml');
  const tunnel = tunnelYaml(sshd, 'late', `${await freePort()}:localhost:9`).replace(
    'host: 127.0.0.1',
    `host: ${NAME}`,
  );
  writeFileSync(
    config,
    `tunnels:
${tunnel}    hostKeyAlias: "[127.0.0.1]:${sshd.port}"
    reconnect: { min: 300, max: 300 }
network: { ping: [] }
control: { socket: ${dir}/control.sock }
stateDirectory: ${dir}
`,
  );
  const run = `exec ${process.execPath} ${PROGRAM.join(' ')} run --config ${config}`;
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', `${MOUNT} && ${run}`], {
    env: { ...process.env, RESOLV_CONF: resolvConf },
    stdio: 'ignore',
  });
  t.after(() => child.kill('SIGKILL'));
  const state = async () => (await tunneld(['status', '--json', '--config', config])).stdout;
  await until(async () => /"code": ?"dns-failed"/.test(await state()), { what: 'the failure' });
  writeFileSync(resolvConf, `nameserver ${ANSWERS}\n`);
  // It alone would be tried again after five minutes.
  await until(async () => /"phase": ?"up"/.test(await state()), { what: 'the tunnel' });
});

const MOUNT = 'mount --bind "$RESOLV_CONF" /etc/resolv.conf';
