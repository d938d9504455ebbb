import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemEnvironment } from '../../src/config/input/environment.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { tempDir } from '../support/until.ts';

const TUNNEL = 'tunnels:\n  a:\n    host: h\n    sshConfig: none\n    remoteForward: 8080:localhost:80\n';
const many = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => text(index)).join('');
const tunnels = (count: number, more: string) =>
  `tunnels:\n${many(count, (index) => `  t${index}:\n    host: h\n    ${more}\n    remoteForward: ${index + 1}:localhost:80\n`)}`;

/** Files below 1 MiB that took a minute, or a gibibyte, and what is said of each. */
const EXCESSIVE: readonly (readonly [string, string, RegExp])[] = [
  ['keys', many(90_000, (index) => `k${index}: 1\n`), /:28572:7: more than 200000 tokens come before this/],
  ['the same key', 'a: 1\n'.repeat(100_000), /:28572:2: more than 200000/],
  ['deep brackets', `a: ${'['.repeat(1_000_000)}`, /:1:104: this is nested too deeply/],
  ['deep mappings', `a: ${'{a: '.repeat(200_000)}`, /:1:404: this is nested too deeply/],
  ['deep lines', many(1400, (index) => `${' '.repeat(index)}a:\n`), /this is nested too deeply/],
  ['deep lists', '- '.repeat(500_000), /:1:200000: more than 200000/],
  ['aliases', `a: &a 1\nb: [${'*a,'.repeat(50_000)}1]`, /:2:305: more than 100 values come from aliases/],
  ['14,000 tunnels', tunnels(14_000, 'sshConfig: none'), /more than 200000/],
  ['a few less', tunnels(2500, 'sshConfig: none'), /:2:3: tunnels has 2500 tunnels: at most 2000/],
  ['jumps', `${TUNNEL}    proxyJump: ${'h,'.repeat(100_000)}h\n`, /:6:16: tunnels\.a\.proxyJump has more than 8/],
];

for (const [what, text, message] of EXCESSIVE) {
  test(`refuses a file of ${what} before it costs anything`, async () => {
    const before = process.cpuUsage();
    await assert.rejects(parseConfig(text, '/c.yaml', systemEnvironment()), { message });
    const { user, system } = process.cpuUsage(before);
    // They take half a second, and took from six seconds to four minutes.
    assert.ok(user + system < 5e6, `${(user + system) / 1e6} s`);
  });
}

test('names the first hundred mistakes when a file has a thousand', async () => {
  const text = `${TUNNEL}${many(1000, (index) => `    k${index}: 1\n`)}`;
  await assert.rejects(parseConfig(text, '/c.yaml', systemEnvironment()), (error: Error) => {
    const lines = error.message.split('\n');
    assert.equal(lines.length, 101);
    assert.equal(lines[0], '/c.yaml:6:5: tunnels.a.k0 is not a known key');
    assert.equal(lines[100], '/c.yaml:106:5: 900 more problems begin here');
    return true;
  });
});

test('reads ssh_config once for all when there are 2000 tunnels', async () => {
  const before = process.cpuUsage();
  const { tunnels: specs } = await parseConfig(tunnels(2000, 'user: u'), '/c.yaml', systemEnvironment());
  assert.equal(specs.length, 2000);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 8e6, `${(user + system) / 1e6} s`);
});

test('refuses patterns over the whole disk and large ssh_configs with their place, in little memory', async (t) => {
  const dir = await tempDir(t);
  const put = (name: string, text: string) => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const hook = put('hook.mjs', `process.on('exit', () => console.error('peak', process.resourceUsage().maxRSS));`);
  const check = (config: string) => {
    const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
    const args = ['--import', hook, cli, 'check', '--config', put('config.yaml', config)];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 78, stderr);
    const kib = Number(/^peak (\d+)$/m.exec(stderr)?.[1]);
    assert.ok(kib < 200 * 1024, `${kib} KiB`);
    return stderr.replaceAll(dir, '');
  };
  const wild = put('wild', 'Include /*/*/*/*/*/*\n');
  assert.match(check(tunnels(2, `sshConfig: ${wild}`)), /^\/wild:1:1: Include would search more than 10000 files/m);
  const large = put(
    'large',
    many(15_000, (index) => `Host h${index}\n  User u\n`),
  );
  assert.match(
    check(tunnels(500, `sshConfig: ${large}`)),
    /^\/large:\d+:1: too many lines for too many hosts were read up to here/m,
  );
  assert.match(check(EXCESSIVE[0]?.[1] ?? ''), /^\/config\.yaml:28572:7: /m);
});
