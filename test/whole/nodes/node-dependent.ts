import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { folderOfNode, type FURTHER_NODES } from '../../support/nodes.ts';
import { tempDir } from '../../support/until.ts';

/** Where it matters which Node.js runs: `npm run test:node -- 22` runs all tests under one. Those of a line share a process. */
const FILES = [
  // The way of the data, with the addon and without: each asks what its process has loaded.
  ['whole/tunnel/sealing'],
  ['whole/tunnel/sealing-without-addon'],
  [
    // The addon is loaded, and makes what ssh2 makes; what is replaced of ssh2 is there.
    'connection/ssh2/packets/codec',
    'connection/ssh2/packets/cipher',
    'connection/ssh2/packets/decipher',
    'connection/ssh2/protocol/internals',
    // Exchanges of keys, work in threads, and certificates.
    'connection/ssh2/kex/exchange-keys',
    'connection/ssh2/kex/hybrid',
    'lib/async/run-in-worker',
    'connection/ssh/certificate',
  ],
  // The daemon and its commands: systemd's notifications, its network and memory, what it serves by HTTP and TLS.
  ['whole/daemon/notify', 'host/sd-notify', 'host/network-watch', 'host/idle-memory', 'http/http-server', 'cli'],
];

/** Some of them wait for others most of the time. */
const AT_ONCE = 3;

/** The files that depend on Node.js, those of a line as a test, under this version of it. */
export function testUnderNode(version: (typeof FURTHER_NODES)[number]): void {
  const folder = folderOfNode(version);
  const skip = folder === null && 'there is none for this machine';
  describe(`Node.js ${version}`, { skip, concurrency: AT_ONCE }, () => {
    for (const names of FILES)
      test(`passes ${names.join(', ')}`, async (t) => {
        const { code, output } = await runTests(folder!, names, await tempDir(t));
        assert.equal(code, 0, output);
        assert.match(output, /^# pass [1-9]\d*\n# fail 0\n# cancelled 0\n# skipped 0$/m);
      });
  });
}

/** Runs files of tests as this one runs: what was compiled, or the source through tsx. */
async function runTests(
  folder: string,
  names: readonly string[],
  dir: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const own = process.argv[1]!;
  const kind = own.endsWith('.js') ? 'js' : 'ts';
  const how = kind === 'js' ? ['--enable-source-maps'] : ['--import', 'tsx'];
  const tests = names.map((name) => pathToFileURL(join(own, '../../..', `${name}.test.${kind}`)).href);
  const file = join(dir, `tests.${kind}`);
  writeFileSync(file, tests.map((url) => `import '${url}';\n`).join(''));
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}');
  const { NODE_TEST_CONTEXT: _, NODE_V8_COVERAGE: _coverage, ...env } = process.env;
  const child = spawn(join(folder, 'node'), [...how, '--test-reporter=tap', file], {
    env: { ...env, PATH: `${folder}:${env['PATH']}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, ...output] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, output: output.join('') };
}
