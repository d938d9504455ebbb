import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { errorCode } from '../../src/lib/text.ts';
import { tempDir } from '../support/until.ts';

const unit = fileURLToPath(new URL('../../systemd/tunnel.service', import.meta.url));

/** Runs a program the test cannot do without. */
async function run(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  try {
    return await promisify(execFile)(program, args);
  } catch (error) {
    if (errorCode(error) === 'ENOENT')
      throw new Error(`this test needs ${program}: please install it`, { cause: error });
    throw error;
  }
}

/** The unit as an administrator installs it: under its final name, with the path of a program that exists. */
async function installedUnit(t: TestContext): Promise<string> {
  const path = join(await tempDir(t), 'tunneld.service');
  const text = readFileSync(unit, 'utf8');
  assert.match(text, /^ExecStart=\/usr\/local\/bin\/tunneld run$/m);
  writeFileSync(path, text.replaceAll('/usr/local/bin/tunneld', process.execPath));
  return path;
}

test('has only lines that are understood when systemd verifies it', async (t) => {
  const { stdout, stderr } = await run('systemd-analyze', ['verify', await installedUnit(t)]); // unknown keys: only on stderr
  assert.deepEqual([stdout, stderr], ['', '']);
});

test('keeps the sandbox closed when systemd judges it', async (t) => {
  const path = await installedUnit(t);
  await run('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=18', path]);
  writeFileSync(path, readFileSync(path, 'utf8').replace('RestrictNamespaces=yes\n', ''));
  await assert.rejects(run('systemd-analyze', ['security', '--offline=true', '--no-pager', '--threshold=18', path]));
});

test('never gives up, unless the configuration is invalid', () => {
  const lines = readFileSync(unit, 'utf8').split('\n');
  for (const line of [
    'After=network.target',
    'StartLimitIntervalSec=0',
    'Type=notify',
    'WatchdogSec=60',
    'Restart=always',
    'RestartPreventExitStatus=78',
    'ExecReload=/usr/local/bin/tunneld check',
    'ExecReload=-+/usr/local/bin/tunneld reload --keys-only',
    "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",
  ]) {
    assert.ok(lines.includes(line), line);
  }
});
