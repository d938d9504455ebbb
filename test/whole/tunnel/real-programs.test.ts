import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startSshd, type TestSshd } from '../../support/sshd.ts';
import { specFor, startTunnel } from '../../support/tunnel.ts';
import { freePort, tempDir } from '../../support/until.ts';

const run = promisify(execFile);

/** Of a large tree, which has three files of 6000 times as many bytes beside (`TUNNELD_TREE_FILES=2000` takes a minute). */
const FILES = Number(process.env['TUNNELD_TREE_FILES'] ?? 600);

for (const kind of ['remote', 'local'] as const) {
  test(`carries rsync of a large tree through a ${kind} forward, there and back`, async (t) => {
    const { sshd, port } = await start(t, kind);
    const dir = await tempDir(t);
    const [original, there, back] = ['original', 'there', 'back'].map((name) => join(dir, name));
    plant(original!);
    const rsync = (from: string, to: string) => run('rsync', ['-a', '-e', ssh(sshd, port), from, to]);
    await rsync(`${original}/`, `${sshd.user}@127.0.0.1:${there}/`);
    assert.deepEqual(checksums(there!), checksums(original!));
    await rsync(`${sshd.user}@127.0.0.1:${there}/`, `${back}/`);
    assert.deepEqual(checksums(back!), checksums(original!));
  });

  test(`carries a git clone through a ${kind} forward, and a push back`, async (t) => {
    const { sshd, port } = await start(t, kind);
    const dir = await tempDir(t);
    const [original, bare, clone] = ['original', 'bare.git', 'clone'].map((name) => join(dir, name));
    const git = async (cwd: string, ...args: string[]) =>
      (
        await run(
          'git',
          ['-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'init.defaultBranch=main', ...args],
          {
            cwd,
            env: { ...process.env, GIT_SSH_COMMAND: ssh(sshd, port), GIT_CONFIG_GLOBAL: '/dev/null' },
          },
        )
      ).stdout.trim();
    plant(original!, FILES / 5);
    await git(original!, 'init', '-q');
    await git(original!, 'add', '.');
    await git(original!, 'commit', '-qm', 'all');
    await git(dir, 'clone', '-q', '--bare', original!, bare!);
    await git(dir, 'clone', '-q', `ssh://${sshd.user}@127.0.0.1${bare}`, clone!);
    assert.equal(await git(clone!, 'rev-parse', 'HEAD'), await git(original!, 'rev-parse', 'HEAD'));
    await git(clone!, 'fsck', '--full', '--strict');
    writeFileSync(join(clone!, 'new'), randomBytes(8_000_000));
    await git(clone!, 'add', '.');
    await git(clone!, 'commit', '-qm', 'more');
    await git(clone!, 'push', '-q');
    assert.equal(await git(bare!, 'rev-parse', 'main'), await git(clone!, 'rev-parse', 'HEAD'));
    await git(bare!, 'fsck', '--full', '--strict');
  });
}

/** A tunnel to a server that is also the device: its own sshd is behind the forward. */
async function start(t: TestContext, kind: 'remote' | 'local'): Promise<{ sshd: TestSshd; port: number }> {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const port = await freePort();
  const spec = specFor(sshd, [[port, sshd.port]]);
  const tunnel = startTunnel(t, { ...spec, forwards: spec.forwards.map((forward) => ({ ...forward, kind })) });
  await tunnel.untilPhase('up');
  return { sshd, port };
}

function ssh(sshd: TestSshd, port: number): string {
  const known = join(sshd.dir, 'known');
  writeFileSync(known, sshd.knownHostsLine('127.0.0.1', port));
  return `ssh -F none -p ${port} -i ${sshd.clientKey} -o UserKnownHostsFile=${known} -o BatchMode=yes`;
}

/** Small files and large ones, empty ones, and some with names that need care. */
function plant(root: string, files = FILES): void {
  for (let index = 0; index < files; index += 1) {
    const folder = join(root, `folder ${index % 20}`, `${index % 7}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file ${index} ä`), randomBytes(index % 10 === 0 ? 0 : (index * 37) % 9000));
  }
  for (let index = 0; index < 3; index += 1)
    writeFileSync(join(root, `big ${index}`), randomBytes(6000 * FILES + index));
}

function checksums(root: string): Map<string, string> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) =>
    statSync(join(root, file)).isFile(),
  );
  return new Map(
    files.toSorted().map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(root, file)))
        .digest('hex'),
    ]),
  );
}
