import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { canonicalAddress } from '../../../src/config/values/address.ts';
import { adHocConfig } from '../../../src/config/command-line/ad-hoc.ts';
import { type ConfigEnvironment, systemEnvironment } from '../../../src/config/input/environment.ts';
import { ConfigError } from '../../../src/config/input/problem.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';

const home = mkdtempSync(join(tmpdir(), 'ssh-canonical-'));
after(() => rmSync(home, { recursive: true }));
const env: ConfigEnvironment = { ...systemEnvironment(), home, env: {}, directory: home };

/** What a network has that knows the server by its whole name alone. */
const hosts = join(home, 'hosts');
writeFileSync(hosts, '192.0.2.1 web.example.org.\n192.0.2.2 other.example.org.\n');

const certain = write(
  'certain',
  `CanonicalizeHostname yes
CanonicalDomains Example.org
CanonicalizeFallbackLocal no
Host always
  HostName web
  CanonicalizeHostname always
Host jumped always
  ProxyJump gate.far.example.org
Host quiet
  CanonicalizeHostname no
Match canonical host *.example.org
  User canonical
Match final originalhost web
  Port 77
Host *.example.org
  ConnectTimeout 7
Match !canonical host web
  IdentityFile /first
`,
);

const cases: readonly (readonly [host: string, hostName: string, user: string | null, port: number])[] = [
  ['web', 'web.example.org', 'canonical', 77],
  ['WEB', 'web.example.org', 'canonical', 77],
  ['web.example.org.', 'web.example.org', 'canonical', 22],
  ['a.b.c', 'a.b.c', null, 22],
  ['web.far.example.org', 'web.far.example.org', 'canonical', 22],
  ['jumped', 'jumped', null, 22],
  ['192.0.2.7', '192.0.2.7', null, 22],
  ['2130706433', '127.0.0.1', null, 22],
];

for (const [host, hostName, user, port] of cases) {
  test(`resolves ${host} to ${hostName}`, async (t) => {
    const { tunnels } = await adHocConfig(['-F', certain, '-R', '1:a:1', host], 'x', env);
    const [spec] = tunnels;
    assert.deepEqual([spec?.host.toLowerCase(), spec?.user, spec?.port], [hostName, user ?? env.userName, port]);
    if (mayBuildNetworks(t)) assert.deepEqual(askSsh('-F', certain, host), [hostName, user ?? env.userName, port]);
  });
}

test('reads names without asking the DNS, and guesses none', async () => {
  const problems = async (text: string, ...more: string[]) => {
    const file = write('uncertain', `${text}\nHost *.example.org\n  User canonical\n`);
    try {
      await adHocConfig(['-F', file, '-R', '1:a:1', ...more, 'web'], 'x', env);
      return [];
    } catch (error) {
      assert.ok(error instanceof ConfigError);
      return error.problems.map(({ file: place, line, column, message }) => {
        assert.equal(place, file);
        return `${line}:${column}: ${message}`;
      });
    }
  };
  const on = 'CanonicalizeHostname yes\n';
  const [two] = await problems(`${on}CanonicalDomains a.org b.org\nCanonicalizeFallbackLocal no`);
  assert.match(
    two ?? '',
    /^1:1: CanonicalizeHostname lets the DNS choose whether the server is web\.a\.org or web\.b\.org; user, port/,
  );
  const [local] = await problems(`${on}CanonicalDomains a.org`);
  assert.match(local ?? '', /^1:1: .* whether the server is web\.a\.org or web;/);
  const [alias] = await problems(`${on}CanonicalDomains a.org\n  CanonicalizePermittedCNAMEs *:*`);
  assert.match(alias ?? '', /^3:3: CanonicalizePermittedCNAMEs lets the DNS choose the name of web;/);
  const [none] = await problems(`${on}CanonicalizeFallbackLocal no`);
  assert.match(none ?? '', /^2:1: CanonicalizeFallbackLocal no leaves no name for web/);
  assert.deepEqual(await problems('CanonicalizeHostname perhaps'), [
    '1:1: CanonicalizeHostname must be yes, no or always',
  ]);
  assert.deepEqual(await problems(on), [], 'without domains there is nothing to ask for');
  assert.deepEqual(
    await problems(`${on}CanonicalDomains a.org`, '-J', 'gate.a.b.c'),
    [],
    'what another server looks up',
  );
  assert.deepEqual(
    await problems('CanonicalizeHostname no\nCanonicalDomains a.org\nCanonicalizePermittedCNAMEs *:*'),
    [],
  );
});

test('reads addresses in all forms of inet_aton, as ssh does', (t) => {
  const forms = {
    '0177.1': '127.0.0.1',
    '2130706433': '127.0.0.1',
    '0x7f.1': '127.0.0.1',
    '0X7F000001': '127.0.0.1',
    '1.2.3': '1.2.0.3',
    '1.65535': '1.0.255.255',
    '010.0.0.1': '8.0.0.1',
    '192.168.001.009': '192.168.001.009',
    '0': '0.0.0.0',
    '4294967296': '4294967296',
    '256.1.1.1': '256.1.1.1',
    '1.2.3.4.5': '1.2.3.4.5',
    '1.2.3.': '1.2.3.',
    '0x': '0x',
    face: 'face',
    '2001:db8:0:0::5': '2001:db8::5',
    '2001:DB8::5': '2001:DB8::5',
    '::ffff:1.2.3.4': '::ffff:1.2.3.4',
  };
  for (const [written, expected] of Object.entries(forms)) {
    assert.equal(canonicalAddress(written), expected, written);
    if (mayBuildNetworks(t)) assert.equal(askSsh('-F', 'none', written)[0], expected.toLowerCase(), `ssh: ${written}`);
  }
});

/** Host name, user and port by `ssh -G`, in a network where only the hosts file answers. */
function askSsh(...args: string[]): [string, string, number] {
  const script = 'mount --bind "$1" /etc/hosts && mount --bind /dev/null /etc/resolv.conf && shift && exec ssh -G "$@"';
  const asked = spawnSync('unshare', ['-m', '-n', 'sh', '-c', script, 'sh', hosts, ...args], { encoding: 'utf8' });
  assert.equal(asked.status, 0, asked.stderr);
  const value = (key: string) => new RegExp(`^${key} (.*)$`, 'm').exec(asked.stdout)?.[1] ?? '';
  return [value('hostname').toLowerCase(), value('user'), Number(value('port'))];
}

function write(name: string, text: string): string {
  writeFileSync(join(home, name), text);
  return join(home, name);
}
