import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { folderOfNode, type FURTHER_NODES } from '../../support/nodes.ts';

/** Where it matters which Node.js runs: `npm run test:node -- 22` runs all tests under one. */
const FILES = [
  // The addon is loaded, and makes what ssh2 makes; what is replaced of ssh2 is there.
  'connection/ssh2/packets/codec',
  'connection/ssh2/packets/cipher',
  'connection/ssh2/packets/decipher',
  'connection/ssh2/protocol/internals',
  // The way of the data, with the addon and without.
  'whole/tunnel/sealing',
  'whole/tunnel/sealing-without-addon',
  // Exchanges of keys, work in threads, and certificates.
  'connection/ssh2/kex/exchange-keys',
  'connection/ssh2/kex/hybrid',
  'lib/async/run-in-worker',
  'connection/ssh/certificate',
  // The daemon and its commands: systemd's notifications, its network and memory, what it serves by HTTP and TLS.
  'whole/daemon/notify',
  'host/sd-notify',
  'host/network-watch',
  'host/idle-memory',
  'http/http-server',
  'cli',
];

/** Some of them wait for others most of the time. */
const AT_ONCE = 3;

/** The files that depend on Node.js, each a test, under this version of it. */
export function testUnderNode(version: (typeof FURTHER_NODES)[number]): void {
  const folder = folderOfNode(version);
  const skip = folder === null && 'there is none for this machine';
  describe(`Node.js ${version}`, { skip, concurrency: AT_ONCE }, () => {
    for (const name of FILES)
      test(`passes ${name}`, async () => {
        const { code, output } = await runTests(folder!, name);
        assert.equal(code, 0, output);
        assert.match(output, /^# pass [1-9]/m);
      });
  });
}

/** Runs one file of tests as this one runs: what was compiled, or the source through tsx. */
async function runTests(
  folder: string,
  name: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const own = process.argv[1]!;
  const compiled = own.endsWith('.js');
  const how = compiled ? ['--enable-source-maps'] : ['--import', 'tsx'];
  const file = join(own, '../../..', `${name}.test.${compiled ? 'js' : 'ts'}`);
  const { NODE_TEST_CONTEXT: _, NODE_V8_COVERAGE: _coverage, ...env } = process.env;
  const child = spawn(join(folder, 'node'), [...how, '--test-reporter=tap', file], {
    env: { ...env, PATH: `${folder}:${env['PATH']}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [code, ...output] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, output: output.join('') };
}
