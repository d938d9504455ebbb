import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { descendantsOf, signalAll } from './processes.ts';
import { freePort, isRemembered, until } from './until.ts';

/** The Dropbear of the folder which test/support/trixie.sh makes, in its root directory. */
export async function startModernDropbear(t: TestContext, keyTypes: readonly string[] = ['ed25519']) {
  const root = process.env['TUNNELD_BOX_ROOT'] ?? assert.fail('TUNNELD_BOX_ROOT is not set: npm run test:trixie');
  // Dropbear takes no key out of a folder below one that others may write to.
  const dir = mkdtempSync(join(root, 'root', 'tunneld-dropbear-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const inside = (file: string) => file.slice(root.length);
  const clientKey = join(dir, 'client');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', clientKey]);
  copyFileSync(`${clientKey}.pub`, join(dir, 'authorized_keys'));
  chmodSync(join(dir, 'authorized_keys'), 0o600);
  const hostKeys = keyTypes.map((type) => {
    const file = join(dir, `host_${type}`);
    const shown = execFileSync('chroot', [root, 'dropbearkey', '-t', type, '-f', inside(file)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return { file, publicKey: /^\S+ AAAA\S+/m.exec(shown)?.[0] ?? assert.fail(shown) };
  });
  const port = await freePort();
  const keys = hostKeys.flatMap(({ file }) => ['-r', inside(file)]);
  const command = ['dropbear', '-F', '-E', '-p', `127.0.0.1:${port}`, '-D', inside(dir), ...keys];
  const script = `mount --bind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" "$@"`;
  const dropbear = spawn('unshare', ['--mount', 'sh', '-c', script, root, ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const pid = dropbear.pid ?? 0;
  let log = '';
  dropbear.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  t.after(() => signalAll([...descendantsOf(pid), pid], 'SIGKILL'));
  await until(() => isRemembered(port), { what: () => `dropbear: ${log}` });
  return {
    dir,
    port,
    user: 'root',
    clientKey,
    knownHostsLine: (host = '127.0.0.1', at = port) =>
      hostKeys.map(({ publicKey }) => `[${host}]:${at} ${publicKey}\n`).join(''),
    log: () => log,
  };
}
