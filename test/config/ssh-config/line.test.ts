import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { systemEnvironment } from '../../../src/config/input/environment.ts';
import { parseOption } from '../../../src/config/ssh-config/line.ts';
import { answerOf } from './answer.ts';

const origin = { file: 'command line', line: 1, column: 1 };
const folder = mkdtempSync(join(tmpdir(), 'ssh-config-'));
after(() => rmSync(folder, { recursive: true }));

/** Each is refused by ssh too, most of them with the same words. */
const BAD: Readonly<Record<string, string>> = {
  'Prot 22': '1:1: Prot is not a known key; did you mean Port?',
  '\t host-name x': '1:3: host-name is not a known key; did you mean HostName?',
  Port: '1:1: Port needs a value',
  'Port=': '1:1: Port needs a value',
  'Port # 22': '1:1: Port needs a value',
  'Port ""': '1:1: Port needs a value',
  'Port 22 23': '1:1: Port has too many arguments: put a value with spaces in quotes',
  'IdentityFile my key': '1:1: IdentityFile has too many arguments: put a value with spaces in quotes',
  'User "a': '1:1: User has an unclosed quote',
  "ProxyCommand it's": '1:1: ProxyCommand has an unclosed quote',
  'LocalForward 8080': '1:1: LocalForward needs two arguments: the listener and the target',
  'LocalForward 8080 ""': '1:1: LocalForward needs a value',
  'RemoteForward 1 a:2 b': '1:1: RemoteForward has too many arguments: put a value with spaces in quotes',
  'DynamicForward 1 2': '1:1: DynamicForward has too many arguments: put a value with spaces in quotes',
  'UserKnownHostsFile a ""': '1:1: UserKnownHostsFile has an empty argument',
  'UserKnownHostsFile a none': '1:1: UserKnownHostsFile has none besides other values: it must be the only one',
  'PermitRemoteOpen any a:1': '1:1: PermitRemoteOpen has any besides other values: it must be the only one',
  'Host a ""': '1:1: Host has an empty argument',
  Host: '1:1: Host needs a value',
  'Include ""': '1:1: Include has an empty argument',
  'SendEnv A=secret': '1:1: SendEnv takes names of variables only, without values',
  'SetEnv secret': '1:1: SetEnv takes settings such as NAME=value',
  'ProxyJump # x': '1:1: ProxyJump needs a value',
  'Match # x': '1:1: Match needs a criterion, such as host or all',
  'Match host': '1:1: Match needs a value for host',
  'Match host ""': '1:1: Match needs a value for host',
  'Match user #': '1:1: Match needs a value for user',
  'Match all host a': '1:1: Match has criteria besides all: all must be the only one',
  'Match host a user b all': '1:1: Match has criteria besides all: all must be the only one',
  'Match hots a':
    '1:1: Match has the unknown criterion hots; known are all, canonical, final, host, originalhost, user, localuser, tagged, command, sessiontype, exec, localnetwork, version',
  'HostName %h%n': '1:1: HostName uses the unknown token %n; known are %% %h',
  'HostName 5%': '1:1: HostName ends with a single %: write %% for a percent sign',
  'IgnoreUnknown Foo\nBar 1\nFoo 1': '2:1: Bar is not a known key',
  'IgnoreUnknown Foo\nFoo': '2:1: this line needs a value',
  'Foo 1\nIgnoreUnknown Foo': '1:1: Foo is not a known key',
  'Host other\n  IgnoreUnknown Foo\nFoo 1': '3:1: Foo is not a known key',
  'Host other\n  Prot 1': '2:3: Prot is not a known key; did you mean Port?',
  'HostName\u00a0foo':
    '1:1: this line does not begin with a keyword of ssh_config: it has an invisible character (U+00A0), which is no blank',
  'Prot 1\nUzer a\nPort 1 2': [
    '1:1: Prot is not a known key; did you mean Port?',
    '2:1: Uzer is not a known key; did you mean User?',
    '3:1: Port has too many arguments: put a value with spaces in quotes',
  ].join('\n'),
};

for (const [text, expected] of Object.entries(BAD)) {
  test(`names a mistake with its place: ${JSON.stringify(text)}`, async () => {
    assert.deepEqual(await problemsOf(text), expected.split('\n'));
  });
}

test('does not repeat a value when it may be a secret', async () => {
  const key = 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW';
  for (const text of [
    'Password hunter2',
    'Port 22 hunter2',
    'SetEnv hunter2',
    key,
    'Match hunter2 x',
    'Port "hunter2',
  ]) {
    const found = (await problemsOf(text)).join('\n');
    assert.notEqual(found, '');
    assert.doesNotMatch(found, /hunter2|b3BlbnNz/);
  }
});

test('escapes what a message quotes when it holds controls', async () => {
  for (const text of ['P\u001b[2Jort 1', '\ufeffPort 1', 'HostName %\u001b', 'HostName %\u202e', 'Match ho\u0007st a'])
    for (const problem of await problemsOf(text)) assert.doesNotMatch(problem, /[\u001b\ufeff\u202e\u0007]/);
});

test('skips a byte order mark when it stands before a keyword', async () => {
  assert.match((await problemsOf('\ufeffPort 1')).join(), /\\ufeffPort is not a known key/);
});

test('reports identity files when there are more than 100', async () => {
  const files = Array.from({ length: 101 }, (_, index) => `IdentityFile k${index}`).join('\n');
  assert.deepEqual(await problemsOf(files), ['101:1: IdentityFile is set for more than 100 files: remove some']);
});

test('takes an = after Match when some version of ssh does', async () => {
  for (const criteria of ['host=web', 'host = web', 'host =web', 'host= web', '"host=web"', "host='web'", '!host=db'])
    assert.deepEqual(await keysOf(`Match ${criteria}\n  Port 1\nMatch ${criteria.replace('web', 'db')}\n  User a`), [
      'port',
      ...(criteria.startsWith('!') ? ['user'] : []),
    ]);
  assert.match((await problemsOf('Match tagged="" hots web')).join(), /criterion hots/);
});

test('knows the keywords of other versions and of distributions', async () => {
  assert.deepEqual(await keysOf('UseKeychain yes\nGSSAPIKeyExchange no\nUseRoaming no\nPort 1'), ['port']);
  assert.deepEqual(
    await keysOf(
      'Tag a\nChannelTimeout session=5m x=1\nVersionAddendum a b # c\nWarnWeakCrypto no\nRefuseConnection "a"',
    ),
    ['tag', 'channeltimeout', 'versionaddendum', 'warnweakcrypto', 'refuseconnection'],
  );
});

test('takes a comment for no part of a ProxyJump when it stands behind one', async () => {
  assert.deepEqual((await read('ProxyJump = a, b # c')).options[0]?.args, ['a, b']);
});

test('reads an option of the command line as a line', () => {
  for (const [text, key, args] of [
    ['Port=22', 'port', ['22']],
    ['port 22', 'port', ['22']],
    ['IdentityFile = "a b"', 'identityfile', ['a b']],
    ['KeepAlive=no', 'tcpkeepalive', ['no']],
    ['ProxyCommand=ssh -W "%h:%p" gw # x', 'proxycommand', ['ssh -W "%h:%p" gw # x']],
    ['RemoteForward=8080 localhost:80', 'remoteforward', ['8080', 'localhost:80']],
    ['Protocol=2', 'protocol', []],
  ] as const)
    assert.deepEqual(parseOption(text, origin), { option: { key, args, origin } });
});

test('refuses an option of the command line when it is none', () => {
  for (const [text, problem] of [
    ['', /must be a keyword and its value/],
    ['# x', /must be a keyword and its value/],
    ['Port', /^Port needs a value$/],
    ['Prot=22', /^Prot is not a known key; did you mean Port\?$/],
    ['Host=a', /^Host is for files only/],
    ['Match all', /^Match is for files only/],
    ['Include=a', /^Include is for files only/],
    ['Port=22\nUser=a', /must be one line/],
  ] as const) {
    const result = parseOption(text, origin);
    assert.match('problem' in result ? result.problem : 'accepted', problem);
  }
});

async function problemsOf(text: string): Promise<string[]> {
  const { problems } = await read(text);
  return problems.map(({ line, column, message }) => `${line}:${column}: ${message}`);
}

async function keysOf(text: string): Promise<string[]> {
  const { options, problems } = await read(text);
  assert.deepEqual(problems, []);
  return options.map(({ key }) => key);
}

async function read(text: string) {
  const file = join(folder, 'config');
  writeFileSync(file, text);
  return await answerOf({ host: 'web', file, first: [], env: systemEnvironment() });
}
