import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { errorCode } from '../../../src/lib/text.ts';
import { appendKnownHosts, loadKnownHosts } from '../../../src/connection/known-hosts/file.ts';
import { checkHostKey, hostQuery, knownHostsLine } from '../../../src/connection/known-hosts/check-host-key.ts';
import { keyText, testKey } from '../../support/known-hosts-keys.ts';

const root = mkdtempSync(join(tmpdir(), 'tunneld-known-hosts-file-'));
after(() => rmSync(root, { recursive: true, force: true }));

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(root, 'test-'));
  file = join(dir, 'known_hosts');
});

const key = testKey('ssh-ed25519', 'server');
const K = keyText(key);
const read = () => readFileSync(file, 'utf8');

describe('loadKnownHosts', () => {
  test('joins the files in their order, and says where each line stands', async () => {
    const second = join(dir, 'second');
    writeFileSync(file, `# c\nb ${K}\n`);
    writeFileSync(second, `a ${K}\nbroken\n`);
    const { entries, problems } = await loadKnownHosts([second, file]);
    assert.deepEqual(
      entries.map((entry) => `${entry.file}:${entry.line}`),
      [`${second}:1`, `${file}:2`],
    );
    assert.deepEqual(
      problems.map((problem) => `${problem.file}:${problem.line}`),
      [`${second}:2`],
    );
  });

  test('reads nothing when a file, folder or target of a link is missing, or is /dev/null', async () => {
    symlinkSync(join(dir, 'nowhere'), join(dir, 'dangling'));
    symlinkSync('/dev/null', join(dir, 'null'));
    const files = [file, join(dir, 'no', 'folder'), join(dir, 'dangling'), join(dir, 'null'), '/dev/null'];
    assert.deepEqual(await loadKnownHosts(files), { entries: [], problems: [] });
    assert.deepEqual(await loadKnownHosts([]), { entries: [], problems: [] });
  });

  test('reports a problem of line 0 when a file cannot be read, and reads the others', async () => {
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const huge = join(dir, 'huge');
    writeFileSync(huge, `h ${K}\n`.padEnd(4 * 1024 * 1024 + 1, '#'));
    const loop = join(dir, 'loop');
    symlinkSync(loop, loop);
    writeFileSync(file, `h ${K}\n`);

    const { entries, problems } = await loadKnownHosts([dir, pipe, huge, loop, join(file, 'below'), file]);
    assert.deepEqual(
      entries.map((entry) => entry.file),
      [huge, file],
    );
    assert.deepEqual(
      problems.map((problem) => [problem.file, problem.line]),
      [dir, pipe, huge, loop, join(file, 'below')].map((path) => [path, 0]),
    );
    const reasons = [/is a directory/, /is not a file/, /larger than 4 MiB/, /ELOOP/, /ENOTDIR/];
    for (const [index, reason] of reasons.entries()) assert.match(problems[index]?.message ?? '', reason);
  });

  test('reports a file when it belongs to another user', async () => {
    writeFileSync(file, `h ${K}\n`, { mode: 0o000 });
    assert.match(await loadAsNobody(), /^0 .*EACCES/);
  });

  test('reads a file when it has exactly the limit', async () => {
    writeFileSync(file, `h ${K}\n`.padEnd(4 * 1024 * 1024, '#'));
    const { entries, problems } = await loadKnownHosts([file]);
    assert.equal(entries.length, 1);
    assert.deepEqual(problems, []);
  });

  test('survives a file when its content is binary', async () => {
    writeFileSync(file, Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * i + 3 * i) % 251)));
    const { entries, problems } = await loadKnownHosts([file]);
    assert.deepEqual(entries, []);
    assert.ok(problems.length > 0 && problems.length <= 21);
  });
});

/** Root may read everything, so as root the file is read as a user without rights; the number is the line of the problem. */
async function loadAsNobody(): Promise<string> {
  const asRoot = process.getuid?.() === 0;
  if (asRoot) process.seteuid?.(65534);
  try {
    const { problems } = await loadKnownHosts([file]);
    return problems.map((problem) => `${problem.line} ${problem.message}`).join('\n');
  } finally {
    if (asRoot) process.seteuid?.(0);
  }
}

describe('appendKnownHosts', () => {
  test("follows no link as root when the directory is another user's", async (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root could be led astray');
    const victim = join(mkdtempSync(join(root, 'elsewhere-')), 'victim');
    symlinkSync(victim, file);
    chownSync(dir, 65_534, 65_534);
    for (const text of [null, 'before\n']) {
      if (text !== null) writeFileSync(victim, text);
      await assert.rejects(appendKnownHosts(file, [`a ${K}`]), /cannot add a host key/);
      assert.equal(existsSync(victim) ? readFileSync(victim, 'utf8') : null, text);
    }
  });

  test('creates the file and its folder for the user alone when they are missing', async () => {
    dir = join(dir, '.ssh');
    file = join(dir, 'known_hosts');
    await appendKnownHosts(file, [`a ${K}`, `b ${K}`]);
    assert.equal(read(), `a ${K}\nb ${K}\n`);
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  });

  test('leaves what is there as it is when it appends', async () => {
    writeFileSync(file, `# mine\r\n\tbroken\n`);
    chmodSync(file, 0o644);
    await appendKnownHosts(file, [`a ${K}`]);
    assert.equal(read(), `# mine\r\n\tbroken\na ${K}\n`);
    assert.equal(statSync(file).mode & 0o777, 0o644);
  });

  test('ends the last line first when it has no end', async () => {
    writeFileSync(file, `b ${K}`);
    await appendKnownHosts(file, [`a ${K}`]);
    assert.equal(read(), `b ${K}\na ${K}\n`);
  });

  test('writes no line twice when a key is known already', async () => {
    writeFileSync(file, `b ${K}\r\na ${K}`);
    await appendKnownHosts(file, [`a ${K}`, `b ${K}`]);
    assert.equal(read(), `b ${K}\r\na ${K}`);
    await appendKnownHosts(file, [`a ${K}`, `c ${K}`, `c ${K}`]);
    assert.equal(read(), `b ${K}\r\na ${K}\nc ${K}\n`);
    await appendKnownHosts(file, []);
    assert.equal(read(), `b ${K}\r\na ${K}\nc ${K}\n`);
  });

  test('neither mixes nor repeats lines when many append at once', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `host${i % 10} ${K}`);
    await Promise.all(lines.map((line) => appendKnownHosts(file, [line])));
    assert.equal(read(), `${lines.slice(0, 10).join('\n')}\n`);
  });

  test('follows a link, also when its file is not there yet', async () => {
    const target = join(dir, 'target');
    symlinkSync(target, file);
    await appendKnownHosts(file, [`a ${K}`]);
    await appendKnownHosts(file, [`b ${K}`]);
    assert.ok(lstatSync(file).isSymbolicLink());
    assert.equal(readFileSync(target, 'utf8'), `a ${K}\nb ${K}\n`);
  });

  test('writes nothing when a link leads to /dev/null', async () => {
    symlinkSync('/dev/null', file);
    await appendKnownHosts(file, [`a ${K}`]);
    assert.ok(statSync('/dev/null').isCharacterDevice());
    assert.ok(lstatSync(file).isSymbolicLink());
  });

  test('says what failed and where when it cannot write, and the next one works', async () => {
    const missing = join(dir, 'no', 'such', 'known_hosts');
    await assert.rejects(appendKnownHosts(missing, [`a ${K}`]), (error) => {
      assert.ok(error instanceof Error);
      assert.equal(errorCode(error), 'ENOENT');
      assert.match(error.message, /^cannot add a host key to .*no\/such\/known_hosts: ENOENT/);
      return true;
    });
    assert.ok(!existsSync(join(dir, 'no')));
    mkdirSync(file);
    await assert.rejects(appendKnownHosts(file, [`a ${K}`]), { code: 'EISDIR' });
    const other = join(dir, 'other');
    await appendKnownHosts(other, [`a ${K}`]);
    assert.equal(readFileSync(other, 'utf8'), `a ${K}\n`);
  });

  test('refuses a file when it would not be read again', async () => {
    const text = `h ${K}\n`.padEnd(4 * 1024 * 1024 + 1, '#');
    writeFileSync(file, text);
    await assert.rejects(appendKnownHosts(file, [`a ${K}`]), /larger than 4 MiB/);
    assert.equal(statSync(file).size, text.length);
  });

  for (const [host, port] of [
    ['Example.com', 22],
    ['Example.com', 2222],
    ['2001:db8::1', 2222],
  ] as const) {
    test(`ssh-keygen -F and we find ${host} port ${port} again`, async () => {
      writeFileSync(file, `other ${keyText(testKey('ssh-rsa', 'x'))}`);
      const query = hostQuery(host, port, null);
      await appendKnownHosts(file, [knownHostsLine(query, key)]);
      const found = execFileSync('ssh-keygen', ['-F', query.name, '-f', file], { encoding: 'utf8' });
      assert.equal(found, `# Host ${query.name} found: line 2 \n${query.name} ${K}\n`);
      const { entries } = await loadKnownHosts([file]);
      assert.equal(checkHostKey(entries, query, key).type, 'known');
    });
  }
});
