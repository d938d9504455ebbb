import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  chownSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { loadConfig } from '../../src/config/load.ts';
import { readLines } from '../../src/config/ssh-config/file.ts';
import { hostQuery } from '../../src/connection/known-hosts/check-host-key.ts';
import { appendKnownHosts, loadKnownHosts, rewriteKnownHosts } from '../../src/connection/known-hosts/file.ts';
import { loadRevokedKeys } from '../../src/connection/known-hosts/revoked-keys.ts';
import { createFile } from '../../src/lib/files/create-file.ts';
import { makeDirectory } from '../../src/lib/files/make-directory.ts';
import { inDirectory } from '../../src/lib/files/open-directory.ts';
import { readRegularFile, readText } from '../../src/lib/files/read-file.ts';
import { replaceFile } from '../../src/lib/files/replace-file.ts';
import { writeAtomically, writeAtomicallyIn } from '../../src/lib/files/write-atomically.ts';
import { errorText } from '../../src/lib/text.ts';
import { replaceHostKeys } from '../../src/setup/replace-host-keys.ts';
import { tempDir, until } from '../support/until.ts';

const USER = 54_321;
const LINE = 'h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f';
const KEY = Buffer.from(LINE.split(' ')[2]!, 'base64');

// Only root can be led anywhere, and only Linux has a path through a descriptor.
if (process.getuid?.() === 0 && process.platform === 'linux')
  suite('root in the places of another user', () => {
    test('writes into the directory that it opened, whatever its path leads to by then', async (t) => {
      const { home, folder, precious, untouched } = await scene(t);
      await inDirectory(folder, async (directory) => {
        renameSync(folder, join(home, 'moved'));
        linkOf(precious, folder);
        await writeAtomicallyIn(directory, 'secret', 'text', { mode: 0o600, owner: directory.owner() });
      });
      assert.equal(readFileSync(join(home, 'moved', 'secret'), 'utf8'), 'text');
      assert.equal(statSync(join(home, 'moved', 'secret')).uid, USER);
      untouched();
      // And no work begins where a link leads to another's directory.
      for (const work of writers(folder)) await assert.rejects(work, /link/);
      untouched();
    });

    test('is not led elsewhere when directories and links are exchanged while it writes', async (t) => {
      const { home, folder, precious, untouched } = await scene(t);
      // What root makes where the folder was, meanwhile, is put aside.
      const script = `const fs = require('node:fs'); const [folder, aside, precious] = process.argv.slice(1);
        const tried = (work) => { try { work(); return true; } catch { return false; } };
        for (let turn = 0; ; turn++) {
          fs.renameSync(folder, aside);
          while (!tried(() => fs.symlinkSync(precious, folder))) tried(() => fs.renameSync(folder, aside + '.a' + turn));
          fs.lchownSync(folder, ${USER}, ${USER});
          fs.unlinkSync(folder);
          while (!tried(() => fs.renameSync(aside, folder))) tried(() => fs.renameSync(folder, aside + '.b' + turn));
          fs.writeFileSync(aside + '.turns', '.', { flag: 'a' });
        }`;
      const child = spawn(process.execPath, ['-e', script, folder, join(home, 'aside'), precious], {
        stdio: 'inherit',
      });
      t.after(async () => {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      });
      await until(() => readdirSync(home).includes('aside.turns'), { what: 'the first exchange' });
      let worked = 0;
      const tryAll = async () => {
        for (const work of writers(folder))
          await work().then(
            () => (worked += 1),
            () => {},
          );
        untouched();
      };
      for (let round = 0; round < 40; round++) await tryAll();
      await until(
        async () => {
          await tryAll();
          return worked > 0;
        },
        { what: 'a write that was not in between' },
      );
    });

    test('neither reads nor reports what a link of the user leads to', async (t) => {
      const { folder, precious } = await scene(t);
      const link = join(folder, 'link');
      linkOf(join(precious, 'secret'), link);
      const readers: readonly (() => unknown)[] = [
        () => loadConfig(link, systemEnvironment()),
        () => readText(link),
        () => readRegularFile(link),
        () => readLines(link, null),
        async () => {
          const { problems } = await loadKnownHosts([link]);
          throw new Error(problems.map(({ message }) => message).join());
        },
        async () => {
          throw new Error((await loadRevokedKeys([link]))(KEY) ?? 'not revoked');
        },
      ];
      for (const read of readers) {
        const error = await Promise.resolve()
          .then(read)
          .then(
            () => assert.fail('it was read'),
            (reason: unknown) => errorText(reason),
          );
        assert.match(error, /is a link to a file of user \d+, which root does not follow/);
        assert.doesNotMatch(error, /root:secret/);
      }
      // A link to what is the user's own, or to nothing, is theirs to make.
      writeFileSync(join(folder, 'own'), LINE);
      chownSync(join(folder, 'own'), USER, USER);
      linkOf(join(folder, 'own'), join(folder, 'to-own'));
      linkOf('/dev/null', join(folder, 'to-nothing'));
      assert.equal((await loadKnownHosts([join(folder, 'to-own')])).entries.length, 1);
      assert.deepEqual((await loadKnownHosts([join(folder, 'to-nothing')])).problems, []);
    });

    test('is not held up when a file is a pipe or an endless device', async (t) => {
      const { folder } = await scene(t);
      const pipe = join(folder, 'known_hosts');
      execFileSync('mkfifo', [pipe]);
      for (const path of [pipe, '/dev/zero']) {
        await assert.rejects(loadConfig(path, systemEnvironment()));
        await assert.rejects(readText(path));
        assert.throws(() => readRegularFile(path));
        await loadKnownHosts([path]);
        await loadRevokedKeys([path]);
      }
      await assert.rejects(appendKnownHosts(pipe, [LINE]));
      assert.equal(await rewriteKnownHosts(pipe, { add: [], remove: () => true }), false);
    });
  });

function writers(folder: string): readonly (() => Promise<unknown>)[] {
  const file = join(folder, 'known_hosts');
  return [
    () => writeAtomically(join(folder, 'whole'), 'text', { mode: 0o600, owner: { uid: USER, gid: USER } }),
    () => createFile(join(folder, `created-${Math.random()}`), 'text', 0o600),
    () => appendKnownHosts(file, [LINE]),
    () => rewriteKnownHosts(file, { add: [], remove: () => true }),
    () => replaceHostKeys(file, hostQuery('h', 22, null), [KEY], []),
    () => replaceFile(join(folder, 'config.yaml'), 'text'),
    async () => makeDirectory(join(folder, `made-${Math.random()}`, 'below')),
  ];
}

/** A user's home with a folder in it, and a directory of root's with files of the same names. */
async function scene(t: TestContext) {
  const dir = await tempDir(t);
  const [home, precious] = [join(dir, 'home'), join(dir, 'precious')];
  const folder = join(home, 'folder');
  for (const path of [home, folder, precious]) mkdirSync(path);
  writeFileSync(join(folder, 'config.yaml'), 'old');
  for (const path of [home, folder, join(folder, 'config.yaml')]) chownSync(path, USER, USER);
  const files = ['config.yaml', 'secret', 'whole'];
  for (const name of files) writeFileSync(join(precious, name), 'root:secret');
  const untouched = () => {
    assert.deepEqual(readdirSync(precious).toSorted(), files);
    for (const name of files) {
      assert.equal(readFileSync(join(precious, name), 'utf8'), 'root:secret');
      assert.equal(statSync(join(precious, name)).uid, 0);
    }
  };
  return { home, folder, precious, untouched };
}

function linkOf(target: string, path: string): void {
  symlinkSync(target, path);
  lchownSync(path, USER, USER);
}
