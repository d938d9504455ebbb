import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linesOfServer } from '../../../src/install/takeover/known-hosts-lines.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJiMZKI7xPRKW4jOZuHvBWhjHl2k6TMfwxdqKZg4gMPv';

test('finds lines about a server in all its files, each once, and knows it when one file does', () => {
  const line = `[server]:2222 ${KEY} of the port`;
  const first = `other ${KEY}\n  ${line}\n`;
  const second = `# nothing\n@revoked server ${KEY}\n`;
  const about = (...texts: readonly string[]) =>
    linesOfServer(
      { host: 'server', port: 2222, hostKeyAlias: null },
      texts.map((text) => ({ file: 'known_hosts', text })),
    );
  assert.deepEqual(about(first, second, ''), { lines: [line, `@revoked server ${KEY}`], known: true });
  assert.deepEqual(about(first, first), { lines: [line], known: true });
  assert.deepEqual(about(''), { lines: [], known: false });
});
