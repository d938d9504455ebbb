import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Config } from '../../src/model/config.ts';
import type { ConfigEnvironment } from '../../src/config/input/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { ConfigError, formatProblem } from '../../src/config/input/problem.ts';

const pi: ConfigEnvironment = {
  home: '/home/pi',
  userName: 'pi',
  uid: 1000,
  platform: 'linux',
  env: {},
  aes: true,
  directory: '/home/pi',
};

const folder = (name: string) => new URL(`${name}/`, import.meta.url);
const read = (name: string, file: string) => readFileSync(new URL(file, folder(name)), 'utf8');

for (const file of readdirSync(folder('invalid')).filter((name) => name.endsWith('.yaml'))) {
  test(`refuses invalid/${file} with every problem and its place`, async () => {
    const expected = read('invalid', file.replace('.yaml', '.expected')).trimEnd().split('\n');
    assert.deepEqual(await problemsOf(read('invalid', file)), expected);
  });
}

for (const file of readdirSync(folder('valid')).filter((name) => name.endsWith('.yaml'))) {
  test(`reads valid/${file} completely`, async () => {
    const config = await parseConfig(read('valid', file), '/etc/tunneld/config.yaml', pi);
    assert.deepEqual(JSON.parse(JSON.stringify(config)), JSON.parse(read('valid', file.replace('.yaml', '.json'))));
  });
}

test('reports a conflict when two users of one server want one port, with which a running one goes on', async () => {
  const text = `tunnels:
  a: { host: H, user: u, remoteForward: "8080:x:1" }
  b: { host: h, user: v, remoteForward: ["8081:x:1", "8080:x:1"] }
  c: { host: h, user: w, port: 2222, remoteForward: ["8080:x:1", "*:8080:x:1", "192.0.2.1:8081:x:1", "8081:x:1"] }
`;
  const { conflicts, warnings, tunnels } = await parseConfig(text, 'FILE', pi);
  const wanted = [
    'FILE:3:54: tunnels.b.remoteForward[1] listens on localhost:8080, the same listener as line 2 of tunnel a, at the same server: only one of them can get it',
    'FILE:4:66: tunnels.c.remoteForward[1] listens on *:8080, the same listener as line 4: only one of them can get it',
  ];
  assert.deepEqual([conflicts.map(formatProblem), warnings, tunnels.length], [wanted, wanted, 3]);
});

test('takes one name for two servers when it is behind two jumps', async () => {
  const site = (jump: string) =>
    `{ host: localhost, user: u, proxyJump: ${jump}, remoteForward: '8080:x:1', sshConfig: none }`;
  const parse = (second: string) => parseConfig(`tunnels:\n  a: ${site('site-a')}\n  b: ${site(second)}\n`, 'FILE', pi);
  assert.deepEqual((await parse('site-b')).conflicts, []);
  await assert.rejects(parse('site-a'), /for the same user of the same server/);
});

test('gives each server of a tunnel a name of its own when they have one host and port behind different jumps', async () => {
  const servers = ['a', 'b', 'c', 'd', 'e'].map((jump) => `{ host: localhost, proxyJump: site-${jump} }`).join(', ');
  const text = `tunnels:\n  a: { servers: [${servers}], user: u, remoteForward: '8080:x:1', sshConfig: none }\n`;
  const { tunnels } = await parseConfig(text, 'FILE', pi);
  assert.deepEqual(
    tunnels.map(({ name }) => name),
    ['a', 'a@localhost', 'a@localhost:22', 'a@localhost:22-2', 'a@localhost:22-3'],
  );
});

test("sends a server's own proxy no password when only the tunnel's proxy has one", async () => {
  const servers = '[h, { host: i, proxy: "http://u@q" }, { host: j, proxy: "http://u@r", proxyPasswordFile: /own }]';
  const keys = `{ servers: ${servers}, proxy: "http://u@p", proxyPasswordFile: /p, remoteForward: '8080:x:1', sshConfig: none }`;
  const { tunnels } = await parseConfig(`tunnels:\n  a: ${keys}\n`, 'FILE', pi);
  assert.deepEqual(
    tunnels.map(({ entry }) => (entry.type === 'http' ? entry.passwordFile : entry.type)),
    ['/p', null, '/own'],
  );
});

test('does not repeat a secret when it is in the wrong place', async () => {
  const [problem] = await problemsOf('tunnels:\n  a: { host: h, remoteForward: "1:a:2", passphrase: hunter2 }\n');
  assert.match(problem ?? '', /passphraseFile/);
  assert.doesNotMatch(problem ?? '', /hunter2/);
});

test('escapes what a message quotes when it holds controls', async () => {
  const [problem] = await problemsOf('tunnels:\n  a: { host: "h\\u001b[2J", remoteForward: "1:a:2" }\n');
  assert.match(problem ?? '', /host/);
  assert.doesNotMatch(problem ?? '', /\u001b/);
});

async function problemsOf(text: string): Promise<readonly string[]> {
  let config: Config;
  try {
    config = await parseConfig(text, 'FILE', pi);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems.map(formatProblem);
  }
  return assert.fail(`it was accepted: ${JSON.stringify(config)}`);
}
