import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { linesAbout } from '../../src/install/known-lines.ts';
import { tempDir } from '../support/until.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJiMZKI7xPRKW4jOZuHvBWhjHl2k6TMfwxdqKZg4gMPv';

test('lines about a server are found in all its files, each once, and one file is enough to know it', async (t) => {
  const dir = await tempDir(t);
  const [first, second, none] = ['first', 'second', 'none'].map((name) => join(dir, name)) as [string, string, string];
  const line = `[server]:2222 ${KEY} of the port`;
  writeFileSync(first, `other ${KEY}\n  ${line}\n`);
  writeFileSync(second, `# nothing\n@revoked server ${KEY}\n`);
  const about = (...files: readonly string[]) =>
    linesAbout({ host: 'server', port: 2222, hostKeyAlias: null, userKnownHostsFiles: files });
  assert.deepEqual(await about(first, second, none), {
    lines: [line, `@revoked server ${KEY}`],
    known: true,
  });
  assert.deepEqual(await about(first, first), { lines: [line], known: true });
  assert.deepEqual(await about(none), { lines: [], known: false });
});
