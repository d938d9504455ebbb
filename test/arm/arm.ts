/** What is said of arm64 and armhf, tried there: run.sh beside this runs it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { StatusDocument } from '../../src/status/document.ts';
import { tunnelYaml } from '../support/daemon-config.ts';
import { startEcho } from '../support/echo.ts';
import { startSshd } from '../support/sshd.ts';
import { freePort, tempDir, until } from '../support/until.ts';
import { openRoot, type ArmRoot } from './arm-root.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '../..');

/** Compiled by compile.mjs: what the addon makes, beside what ssh2 makes and what the standards say. */
const VECTORS = ['codec', 'cipher', 'decipher'].map((name) =>
  join(repository, `node_modules/.cache/tunneld-tests/test/connection/ssh2/packets/${name}.test.js`),
);

/** Random, so that nothing on the way makes them less. */
const BYTES = randomBytes(16 * 1024 ** 2);
const NATIVE = /^tunneld \S+ \(node v\S+, native crypto: yes\)$/m;
/** An emulated program takes ten times as long as others, and a file of the tests has two minutes elsewhere. */
const PATIENCE_MS = 600_000;

for (const arch of (process.env['TUNNELD_ARCHITECTURES'] ?? 'arm64 armhf').split(' '))
  test(`Debian 13 for ${arch}`, async (t) => {
    const root = await openRoot(t, arch);

    await t.test('installs the package with apt, which brings what it needs', async (t) => {
      const folder = await tempDir(t);
      const args = ['--outdir', folder, '--architecture', arch];
      const { stdout } = await run(process.execPath, [join(repository, 'packaging/deb.mjs'), ...args]);
      root.put(stdout.trim(), '/tmp/tunneld.deb');
      await root.must('apt-get', 'install', '-qq', '-y', '/tmp/tunneld.deb');
      assert.equal((await root.must('dpkg-query', '-Wf${Architecture}', 'tunneld')).trim(), arch);
      assert.equal(await root.must('dpkg', '--verify', 'tunneld'), '');
    });

    await t.test('loads the addon', async (t) => {
      const version = await root.must('tunneld', '--version');
      assert.match(version, NATIVE);
      t.diagnostic(version.trim());
    });

    for (const file of VECTORS)
      await t.test(`passes ${file.split('/').at(-1)!} with the addon`, async () => {
        assert.match(await root.must('node', '--test-reporter=tap', file), /^# fail 0$/m);
      });

    await t.test('serves both directions through a tunnel, byte for byte', (t) => serve(t, root));

    await t.test("starts from npm's package", async (t) => {
      const folder = await tempDir(t);
      const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
        cwd: repository,
      });
      root.put(join(folder, stdout.trim()), '/tmp/tunneld.tgz');
      // As npm does it: the folder, and a link to the program in it. Debian's npm would bring 600 packages.
      await root.must(
        'sh',
        '-c',
        'mkdir /tmp/npm && tar -xzf /tmp/tunneld.tgz -C /tmp/npm && ln -s ../npm/package/dist/cli.js /tmp/npm/tunneld',
      );
      assert.match(await root.must('/tmp/npm/tunneld', '--version'), NATIVE);
    });
  });

/** The daemon there, an sshd and a target here. */
async function serve(t: TestContext, root: ArmRoot): Promise<void> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const config = join(sshd.dir, 'config.yaml');
  writeFileSync(
    config,
    `tunnels:\n${tunnelYaml(sshd, 'main', `${port}:127.0.0.1:${echo.port}`)}network: { ping: [] }\nstateDirectory: /tmp/tunneld\ncontrol: { socket: /tmp/tunneld/control.sock }\n`,
  );
  await root.must('mkdir', '-p', '/tmp/tunneld', sshd.dir);
  for (const file of [config, sshd.clientKey, join(sshd.dir, 'known_hosts')]) root.put(file, file);
  await root.must('chmod', '600', sshd.clientKey);
  const daemon = root.start('tunneld', 'run', '--config', config);
  const ended = new Promise((resolve) => daemon.once('close', resolve));
  let said = '';
  daemon.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  t.after(async () => {
    daemon.kill();
    await ended;
  });
  const status = async () =>
    JSON.parse(await root.must('tunneld', 'status', '--json', '--config', config)) as StatusDocument;
  const up = await until(
    async () => {
      const document = await status();
      return document.tunnels[0]?.phase === 'up' && document;
    },
    { timeoutMs: PATIENCE_MS, what: () => `the tunnel; it said ${said}` },
  );
  assert.deepEqual(up.problems ?? [], []);
  const echoed = await buffer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }).end(BYTES));
  assert.equal(sumOf(echoed), sumOf(BYTES));
  const { bytesIn, bytesOut } = (await status()).tunnels[0]!.forwards[0]!;
  assert.deepEqual([bytesIn, bytesOut], [BYTES.length, BYTES.length]);
}

function sumOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
