import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { AuditDocument } from '../../../src/audit/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd, type SshdOptions, type TestSshd } from '../../support/sshd.ts';
import { tunneld, PROGRAM } from '../../support/tunneld.ts';
import { until } from '../../support/until.ts';

test('exits with 1 and prints the lines when something is open, and with 0 when they are in place', async (t) => {
  const { sshd, config } = await setUp(t);
  const { code, stdout, stderr } = await tunneld(['audit', '--yes', '--config', config]);
  assert.equal(code, 1, stderr);
  assert.match(stderr, /leaves traces in the log .* look like an attack/);
  assert.match(
    stdout,
    /^relay: \S+, OpenSSH_\S+, logged in by publickey\n {2}open {4}command {14}the holder of this key can/,
  );
  assert.doesNotMatch(stdout, /\u001b/);
  const options = /^restrict,.*$/m.exec(stdout)?.[0] ?? '';
  const block = /^Match User [^]*/m.exec(stdout)?.[0] ?? '';

  writeFileSync(sshd.authorizedKeysFile, `${options} ${readFileSync(`${sshd.clientKey}.pub`, 'utf8')}`);
  const configFile = join(sshd.dir, 'sshd_config');
  writeFileSync(configFile, `${readFileSync(configFile, 'utf8')}\n${block}`);
  await sshd.restart();
  const cured = await tunneld(['audit', 'relay', '--yes', '--config', config]);
  assert.equal(cured.code, 0, cured.stdout);
  assert.doesNotMatch(cured.stdout, /^Match|restrict/m);
});

test('prints one document when --json is given, of one tunnel when one is named', async (t) => {
  const { config } = await setUp(t, { keyOptions: 'restrict,port-forwarding' });
  const { code, stdout } = await tunneld(['audit', 'relay', '--json', '--yes', '--config', config]);
  assert.equal(code, 1);
  const { tunnels } = JSON.parse(stdout) as AuditDocument;
  assert.deepEqual(
    tunnels.map(({ name, lines }) => [name, lines.authorizedKeys.includes('permitlisten="localhost:8080"')]),
    [['relay', true]],
  );
});

test('wants --yes when it has no terminal, and has own exit codes for a wrong name and a wrong file', async (t) => {
  const { sshd, config } = await setUp(t);
  const unasked = await tunneld(['audit', '--config', config]);
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /there is no terminal to ask: Continue\?\n.*--yes/);
  assert.equal((await tunneld(['audit', 'nobody', '--yes', '--config', config])).code, 4);
  writeFileSync(config, 'tunnels: 1\n');
  assert.equal((await tunneld(['audit', '--yes', '--config', config])).code, 78);
  assert.doesNotMatch(sshd.log(), /Accepted/);
});

test('asks when it has a terminal, and takes nothing but yes for yes', async (t) => {
  const { sshd, config } = await setUp(t);
  for (const answer of ['\n', 'n\n', '\u0003', '\u0004', 'y\n']) {
    const { code, text } = await onTerminal(['audit', '--config', config], answer);
    // Ctrl-C ends it as it ends any program.
    assert.equal(code, answer === '\u0003' ? 130 : 1, text);
    assert.equal(/Accepted/.test(sshd.log()), answer === 'y\n', JSON.stringify(answer));
    if (answer === 'y\n') assert.match(text, /\u001b\[31mopen {4}\u001b\[39mcommand/);
  }
});

test('exits with 1 when the server cannot be reached, and says so', async (t) => {
  const { sshd, config } = await setUp(t);
  await sshd.kill();
  const { code, stdout } = await tunneld(['audit', '--yes', '--config', config]);
  assert.equal(code, 1);
  assert.match(stdout, /failure: connect-refused: .*\n {2}Nothing listens on that port/);
});

async function setUp(
  t: TestContext,
  options: SshdOptions = {},
): Promise<{ readonly sshd: TestSshd; readonly config: string }> {
  const sshd = await startSshd(options);
  t.after(async () => {
    // A session that is killed would leave the socket of its agent in /tmp.
    await until(() => sshd.sessions().length === 0, { what: 'the end of the sessions' });
    await sshd.stop();
  });
  const config = join(sshd.dir, 'config.yaml');
  writeFileSync(config, `tunnels:\n${tunnelYaml(sshd, 'relay', '8080:localhost:22')}`);
  return { sshd, config };
}

/** script(1) of util-linux gives the program a terminal; what is typed comes after the question. */
async function onTerminal(
  args: readonly string[],
  answer: string,
): Promise<{ readonly code: number | null; readonly text: string }> {
  const command = [process.execPath, ...PROGRAM, ...args].map((word) => `'${word}'`).join(' ');
  const env = { ...process.env, TERM: 'xterm', NO_COLOR: '' };
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
    timeout: 120_000,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  await until(() => text.includes('Continue? [y/N]'), { what: () => `the question: ${text}` });
  child.stdin.write(answer);
  const code = await exited;
  return { code, text };
}
