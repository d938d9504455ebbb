import assert from 'node:assert/strict';
import {
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileOutput } from '../../../src/lib/log/file.ts';
import { readSecretFile } from '../../../src/connection/auth/secret-file.ts';
import { checkOpened } from '../../../src/lib/files/path-owner.ts';
import { writeDurably } from '../../../src/lib/files/write-durably.ts';
import { writeAtomically } from '../../../src/lib/files/write-atomically.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess, tunneld } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

/** What these tests are about only root could do: whoever else runs them is the other user. */
const isRoot = process.getuid?.() === 0;
const SERVICE = isRoot ? 54_321 : process.getuid!();

test('runs no configuration and no command as root when another user has kept it', async (t) => {
  const dir = await tempDir(t);
  const [state, proof, file] = [join(dir, 'state'), join(dir, 'proof'), join(dir, 'config.yaml')];
  mkdirSync(state);
  writeFileSync(file, `tunnels: { broken\nstateDirectory: ${state}\n`);
  const kept = join(state, 'last-good.yaml');
  writeFileSync(
    kept,
    `# The last configuration that worked, written by tunneld, which runs it when its file is not valid.\n# file: ${JSON.stringify(file)}
tunnels: { a: { host: h, remoteForward: "1:a:2", proxyCommand: "touch ${proof}" } }
control: { socket: ${dir}/control.sock }
`,
  );
  for (const path of [state, kept]) chownSync(path, SERVICE, SERVICE);
  if (!isRoot) return;
  const { code, stderr } = await tunneld(['run', '--config', file]);
  assert.equal(code, 78);
  assert.match(
    stderr,
    /the last configuration that worked, in .*state, belongs to another user, and root does not run it: start the service/,
  );
  assert.ok(!existsSync(proof));
});

test("runs another user's configuration as root only when it is named", async (t) => {
  const home = await tempDir(t);
  const file = join(home, '.config/tunneld/config.yaml');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, 'tunnels: { a: { host: h, remoteForward: "1:a:2", proxyCommand: "true" } }\nnonsense: yes\n');
  chownSync(home, SERVICE, SERVICE);
  const env = { HOME: home, TUNNELD_CONFIG: '' };
  if (!isRoot || existsSync('/etc/tunneld/config.yaml')) return;
  const { code, stderr } = await tunneld(['run'], { env });
  assert.equal(code, 1);
  assert.match(stderr, /config\.yaml is another user's, and its commands would run as root: name it with --config/);
  assert.match((await tunneld(['run', '--config', file], { env })).stderr, /nonsense/);
});

test('writes nothing as root into a directory of another user, and its tunnels run without', async (t) => {
  const { state, port, start, precious } = await world(t);
  for (const name of ['last-good.yaml.new', 'source-ports.json.new', 'last-good.yaml', 'source-ports.json'])
    symlinkSync(precious, join(state, name));
  const daemon = await start();
  await until(async () => (await visit(port, 'hello')) === 'hello', { what: () => `the tunnel; ${daemon.stderr()}` });
  if (isRoot) {
    await until(() => /the last good configuration cannot be kept .* root does not write there/.test(daemon.stderr()), {
      what: () => daemon.stderr(),
    });
    const { problems = [] } = await daemon.status();
    assert.match(
      problems.join('\n'),
      /cannot be written, so source ports are not remembered: .*root does not write there/,
    );
    await assert.rejects(writeDurably(join(state, 'x'), ''), /root does not write there/);
  }
  assert.equal(readFileSync(precious, 'utf8'), 'precious');
});

test('is not led elsewhere when root writes a log file', async (t) => {
  const dir = await tempDir(t);
  const precious = join(dir, 'precious');
  writeFileSync(precious, 'precious');
  mkdirSync(join(dir, 'logs'));
  symlinkSync(precious, join(dir, 'logs', 'tunneld.log'));
  chownSync(join(dir, 'logs'), SERVICE, SERVICE);
  if (!isRoot) return;
  const troubles: (string | null)[] = [];
  fileOutput(join(dir, 'logs', 'tunneld.log'), (message) => troubles.push(message)).write('a line\n');
  assert.match(troubles.join(), /belongs to user 54321, and root does not write there/);
  assert.equal(readFileSync(precious, 'utf8'), 'precious');
});

test('writes files whole, through no link, and leaves nothing beside them, when root runs it', async (t) => {
  const dir = await tempDir(t);
  const [path, precious] = [join(dir, 'file'), join(dir, 'precious')];
  writeFileSync(precious, 'precious');
  const writers = [() => writeDurably(path, 'text'), () => writeAtomically(path, 'text', { mode: 0o600, owner: null })];
  for (const write of writers) {
    symlinkSync(precious, path);
    await write();
    assert.equal(readFileSync(path, 'utf8'), 'text');
    rmSync(path);
  }
  await writeAtomically(path, 'first', { mode: 0o600, owner: null }, { over: false });
  await assert.rejects(writeAtomically(path, 'second', { mode: 0o600, owner: null }, { over: false }), /EEXIST/);
  assert.equal(readFileSync(path, 'utf8'), 'first');
  assert.equal(readFileSync(precious, 'utf8'), 'precious');
  assert.deepEqual(readdirSync(dirname(path)).toSorted(), ['file', 'precious']);
});

/** A tunnel to a real server, whose state directory is another user's. */
async function world(t: TestContext) {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const dir = await tempDir(t);
  const [state, precious] = [join(dir, 'state'), join(dir, 'precious')];
  mkdirSync(state);
  chownSync(state, SERVICE, SERVICE);
  writeFileSync(precious, 'precious');
  const port = await freePort();
  const yaml = `tunnels:\n${tunnelYaml(sshd, 'a', `${port}:127.0.0.1:${echo.port}`)}`;
  return { state, port, precious, start: () => startDaemonProcess(t, yaml, { state }) };
}

test("reads no key or password as root when another user's link leads there, unless it is that user's own", async (t) => {
  if (!isRoot) return;
  const dir = await tempDir(t);
  const place = join(dir, 'place');
  mkdirSync(place);
  const [shadow, own, misplaced] = [join(dir, 'shadow'), join(place, 'own'), join(place, 'misplaced')];
  for (const path of [shadow, own, misplaced]) writeFileSync(path, 'root:secret\n', { mode: 0o600 });
  for (const path of [place, own]) chownSync(path, SERVICE, SERVICE);
  const links = { stolen: shadow, mine: own, folder: dir };
  for (const [name, target] of Object.entries(links)) {
    symlinkSync(target, join(place, name));
    lchownSync(join(place, name), SERVICE, SERVICE);
  }
  // Root's own link is followed.
  symlinkSync(own, join(dir, 'roots'));
  const read = (path: string) => readSecretFile(path, 'passwordFile');
  for (const path of [join(place, 'stolen'), join(place, 'folder', 'shadow')])
    await assert.rejects(
      read(path),
      /is a link to a file of user \d+, which root does not follow in a directory of user 54321: run this as/,
    );
  for (const path of [own, misplaced, join(place, 'mine'), join(dir, 'roots'), shadow])
    assert.equal(await read(path), 'root:secret');
  // A second name of root's file, as old systems let users make.
  linkSync(shadow, join(place, 'hard'));
  await assert.rejects(read(join(place, 'hard')), /root does not follow/);
});

test('judges what root has opened, not the path, when a directory is exchanged meanwhile', async (t) => {
  if (!isRoot) return;
  const dir = await tempDir(t);
  const [place, precious] = [join(dir, 'place'), join(dir, 'known_hosts')];
  mkdirSync(place);
  writeFileSync(precious, 'precious');
  const fd = openSync(precious, 'r');
  t.after(() => closeSync(fd));
  // By now the path is innocent again.
  writeFileSync(join(place, 'known_hosts'), '');
  for (const path of [place, join(place, 'known_hosts')]) chownSync(path, SERVICE, SERVICE);
  const check = (path: string) => checkOpened(path, fd, fstatSync(fd));
  assert.throws(() => check(join(place, 'known_hosts')), /root does not follow/);
  assert.throws(() => check(join(dir, 'gone')), /ENOENT/);
  check(precious);
});
