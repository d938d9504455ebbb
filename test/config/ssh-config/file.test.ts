import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type ConfigEnvironment, systemEnvironment } from '../../../src/config/input/environment.ts';
import { parseOption } from '../../../src/config/ssh-config/line.ts';
import type { SshConfigRequest } from '../../../src/config/ssh-config/read.ts';
import { answerOf } from './answer.ts';

let folder = '';
let env: ConfigEnvironment;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ssh-config-'));
  env = { ...systemEnvironment(), home: join(folder, 'home'), userName: 'pi', env: {} };
});
afterEach(() => rmSync(folder, { recursive: true }));

test("prefers the user's file when the system's says otherwise", async () => {
  write('home/.ssh/config', 'Port 1\nIdentityFile a\n');
  write('etc/ssh_config', 'Port 2\nUser two\nIdentityFile b\n');
  assert.deepEqual(await options(), ['port 1', 'identityfile a', 'user two', 'identityfile b']);
});

test('prefers the command line when a file says otherwise', async () => {
  write('home/.ssh/config', 'Match user cli\n  ConnectTimeout 3\nUser file\nIdentityFile b\n');
  const first = ['User=cli', 'IdentityFile a', 'Protocol 2'].map((text) => {
    const parsed = parseOption(text, { file: 'command line', line: 1, column: 1 });
    return 'option' in parsed ? parsed.option : assert.fail(parsed.problem);
  });
  assert.deepEqual(await options({ first }), ['user cli', 'identityfile a', 'connecttimeout 3', 'identityfile b']);
});

test('reads no other file when -F names one, and none when it says none', async () => {
  write('home/.ssh/config', 'Port 1\n');
  write('etc/ssh_config', 'Port 2\n');
  write('own', 'User three\n', 0o666);
  assert.deepEqual(await options({ file: join(folder, 'own') }), ['user three']);
  assert.deepEqual(await options({ file: 'None' }), []);
});

test('fails when the file of -F is missing, not when a default one is', async () => {
  assert.deepEqual(await options(), []);
  assert.deepEqual(await problems({ file: join(folder, 'own') }), ['own:1:1: no such file']);
});

test('says of an option where it comes from', async () => {
  write('home/.ssh/config', '\n\n  Port 1\n');
  const { options } = await read();
  assert.deepEqual(options, [
    { key: 'port', args: ['1'], origin: { file: join(folder, 'home/.ssh/config'), line: 3, column: 3 } },
  ]);
});

test("refuses the user's file when others may write it", async () => {
  for (const mode of [0o620, 0o602]) {
    write('home/.ssh/config', 'Port 1\n', mode);
    const [problem = '', ...more] = await problems();
    assert.match(
      problem,
      /^home\/\.ssh\/config:1:1: Bad owner or permissions: .* chmod go-w \S+\/home\/\.ssh\/config$/,
    );
    assert.deepEqual(more, []);
    assert.deepEqual((await read()).options, []);
  }
});

test("refuses the user's file when it belongs to another user than this one and root", async () => {
  write('home/.ssh/config', 'Port 1\n');
  // Only root can give files away; anybody can be asked for somebody else.
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? 1234 : process.getuid!();
  if (isRoot) chownSync(join(folder, 'home/.ssh/config'), owner, 0);
  const stranger = { env: { ...env, uid: owner + 1 } };
  assert.match((await problems(stranger)).join(), /Bad owner or permissions: another user owns/);
  assert.deepEqual(await problems({ env: { ...env, uid: owner } }), []);
  assert.deepEqual(await problems({ ...stranger, systemFile: '/nowhere', file: join(folder, 'home/.ssh/config') }), []);
  if (isRoot) chownSync(join(folder, 'home/.ssh/config'), 0, 0);
  assert.equal((await problems(stranger)).length, isRoot ? 0 : 1);
});

test("does not check the owner of the system's file, but that of a file that it includes", async () => {
  write('etc/ssh_config', 'Port 1\nInclude more\n', 0o666);
  assert.deepEqual(await options(), ['port 1']);
  write('etc/more', 'User two\n', 0o666);
  assert.match((await problems()).join(), /^etc\/more:1:1: Bad owner or permissions/);
});

test('reports a problem when a file is no text', async () => {
  const file = join(folder, 'own');
  mkdirSync(file);
  assert.deepEqual(await problems({ file }), ['own:1:1: this is a directory: name the files in it']);
  assert.match((await problems({ file: join(file, 'x/y') })).join(), /no such file/);
  rmSync(file, { recursive: true });
  write('own', '#'.repeat(1024 * 1024 + 1));
  assert.deepEqual(await problems({ file }), [
    'own:1:1: the file is larger than 1 MiB: check whether it is a configuration',
  ]);
  write('own', 'Port 1\nUser a\0b\n');
  assert.deepEqual(await problems({ file }), ['own:2:1: the file is not text: check whether it is a configuration']);
  write('own', Buffer.from('# f\xfcr\nPort 1\n', 'latin1'));
  assert.deepEqual(await options({ file }), ['port 1']);
  write('own', Buffer.from('Port 1\nUser f\xfcr\n', 'latin1'));
  assert.match((await problems({ file })).join(), /^own:2:1: this line is not UTF-8/);
  assert.deepEqual(await options({ file: '/dev/null' }), []);
  assert.match((await problems({ file: '/dev/zero' })).join(), /larger than 1 MiB/);
  mkdirSync(join(folder, 'home/.ssh/config'), { recursive: true });
  assert.match((await problems()).join(), /this is a directory/);
});

test('reports a file when it may not be read', async () => {
  write('home/.ssh/config', 'Port 1\n', 0o000);
  const { options, problems: found, notes } = await asNobody(() => read());
  assert.deepEqual([options, found], [[], []]);
  assert.match(notes.join(), /permission denied.*it was skipped/);
  assert.match(
    (await asNobody(() => problems({ file: join(folder, 'home/.ssh/config') }))).join(),
    /permission denied/,
  );
});

/** Root may read everything. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return await work();
  chmodSync(folder, 0o755);
  process.seteuid!(65_534);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}

test('ends when a file has a flood of problems', async () => {
  write('home/.ssh/config', 'Nonsense 1\n'.repeat(10_000));
  assert.equal((await problems()).length, 50);
});

test('takes no long time when lines are long', async () => {
  const long = 200_000;
  const lines = [
    ' '.repeat(long) + 'x',
    `User a${' '.repeat(long)}b`,
    `Host ${'*a'.repeat(5000)}`,
    `User ${'"'.repeat(long)}`,
  ];
  write(
    'home/.ssh/config',
    `${lines.join('\n')}\nHost *\nInclude ${'['.repeat(long)} ${'*'.repeat(long)}\nProxyJump${'\t'.repeat(long)}a`,
  );
  const start = performance.now();
  await read({ host: 'a'.repeat(255) });
  assert.ok(performance.now() - start < 20_000);
});

test('never matches, and runs nothing, when a block says Match exec', async () => {
  const proof = join(folder, 'proof');
  write(
    'home/.ssh/config',
    `Match exec "touch ${proof}"
      User one
    Match !exec "touch ${proof}"
      User two
    Match originalhost web exec="touch ${proof}"
      User three
    Match host other exec "touch ${proof}"
      User four
    Host other
      Include more
    Match all
      Port 1`,
  );
  write('home/.ssh/more', `Match exec "touch ${proof}"\n`);
  const { options, problems, warnings } = await read();
  assert.deepEqual(
    options.map(({ key }) => key),
    ['port'],
  );
  assert.deepEqual(problems, []);
  // The line for another host and the Include for another host would have been no run of ssh either.
  assert.deepEqual(warnings, [
    `Match exec is never run, and is treated as not matching: ${join(folder, 'home/.ssh/config')}:1 and 2 more`,
  ]);
  assert.equal(existsSync(proof), false);
});

test('never matches when a criterion of a later version cannot be answered from files', async () => {
  const answered = {
    'tagged x': false,
    'tagged=""': true,
    'command ""': true,
    'command *': false,
    'sessiontype none': true,
    'sessiontype shell,exec': false,
  };
  for (const [criterion, holds] of Object.entries(answered)) {
    write('home/.ssh/config', `Match ${criterion}\n  User one\nMatch !${criterion}\n  User two\n`);
    assert.deepEqual(await options(), [holds ? 'user one' : 'user two'], criterion);
  }
  write('home/.ssh/config', 'Host web\n  Tag x\nMatch tagged a,x*\n  User one\n');
  assert.deepEqual(await options(), ['tag x', 'user one']);
});

test('never matches when a criterion is one that cannot be found out', async () => {
  for (const criterion of ['localnetwork 127.0.0.0/8', 'version *']) {
    for (const not of ['', '!']) {
      write('home/.ssh/config', `Match ${not}${criterion}\n  User one\n`);
      const { options, problems, warnings } = await read();
      assert.deepEqual([options, problems, warnings.length], [[], [], 1], criterion);
      assert.match(warnings[0] ?? '', /^Match \w+ is never evaluated, and is treated as not matching: .*\/config:1$/);
    }
  }
});

test('keeps a restriction when it is unknown whether its block applies', async () => {
  const lines = ['PubkeyAuthentication no', 'PermitRemoteOpen none', 'IdentitiesOnly yes', 'Ciphers aes128-ctr'];
  for (const line of lines) {
    const [keyword = ''] = line.split(' ');
    const expected = `${keyword} restricts, but Match exec is never evaluated: move it out of this block`;
    write('home/.ssh/config', `Match exec x\n  User one\n  ${line}\n`);
    assert.deepEqual(await problems(), [`home/.ssh/config:3:3: ${expected}`]);
    write('home/.ssh/more', `Host other\n  ${line}\nHost web\n  ${line}\n`);
    write('home/.ssh/config', 'Match exec x\n  Include more\n');
    assert.deepEqual(await problems(), [`home/.ssh/more:4:3: ${expected}`]);
  }
  const harmless = [
    'PubkeyAuthentication yes',
    'PermitRemoteOpen any',
    'IdentitiesOnly no',
    'StrictHostKeyChecking no',
  ];
  write('home/.ssh/config', `Match exec x\n  ${harmless.join('\n  ')}\n  IdentityFile a\n`);
  assert.deepEqual([await problems(), await options()], [[], []]);
  write(
    'home/.ssh/config',
    'Ciphers aes256-ctr\nMatch host other exec x\n  MACs a\nMatch exec x\n  Ciphers aes128-ctr\n',
  );
  assert.deepEqual(await problems(), [], 'what another host, or an earlier line, leaves without effect is none');
});

test('matches names in small letters, and addresses as they are, when it makes a second pass', async () => {
  write('home/.ssh/config', 'Match final\n  Port 1\nHost web 2001:db8::*\n  User small\n');
  assert.deepEqual(await options({ host: 'WEB' }), ['port 1', 'user small']);
  assert.deepEqual(await options({ host: '2001:DB8::2' }), ['port 1']);
});

test('says nothing twice when it makes a second pass', async () => {
  write('home/.ssh/config', 'Match exec x\nMatch final\n  User second\nInclude ${NOTHING}\n');
  const { notes, warnings } = await read();
  assert.deepEqual([notes.length, warnings.length], [1, 1]);
  assert.deepEqual(await options(), ['user second']);
});

test("takes paths of the system's file relative to its folder, without ~, when it includes a file", async () => {
  write('home/.ssh/more', 'User one\n');
  write('etc/more', 'User two\n');
  write('etc/ssh_config', 'Include more\n');
  assert.deepEqual(await options(), ['user two']);
  write('etc/ssh_config', '\n  Include ~/.ssh/more\n');
  assert.deepEqual(await problems(), ['etc/ssh_config:2:3: Include must not begin with ~ in the system-wide file']);
});

test('expands variables and tokens when it includes a file', async () => {
  write('home/.ssh/web-pi', 'User one\n');
  write('own', 'Include ${NAME}-%u %%h /%q\n');
  const { options, problems, notes } = await read({
    file: join(folder, 'own'),
    env: { ...env, env: { NAME: 'web' } },
  });
  assert.deepEqual([options.length, problems], [1, []]);
  assert.match(notes.join(), /own:1: Include uses the unknown token %q; .*; it was skipped$/);
  assert.match((await read({ file: join(folder, 'own') })).notes.join(), /the variable NAME, which is not set; it was/);
});

test('reports a problem when an included file cannot be read, and none when it does not exist', async () => {
  write('home/.ssh/config', 'Include missing no/folder/* ~/none /none/*/x folder.d/*\nPort 1\n');
  mkdirSync(join(folder, 'home/.ssh/folder.d/directory'), { recursive: true });
  assert.deepEqual(await options(), ['port 1']);
  symlinkSync('nowhere', join(folder, 'home/.ssh/folder.d/dangling'));
  assert.deepEqual(await problems(), ['home/.ssh/folder.d/dangling:1:1: no such file']);
  write('home/.ssh/config', 'Include folder.d\n');
  assert.match((await problems()).join(), /folder\.d:1:1: this is a directory/);
  write('home/.ssh/config', 'Include ~root/x\n');
  assert.match((await problems()).join(), /config:1:1: Include must not begin with the home of another user/);
});

test('refuses included files when they are more than 16 deep', async () => {
  for (let depth = 0; depth < 20; depth += 1) write(`home/.ssh/${depth}`, `Include ${depth + 1}\n`);
  write('home/.ssh/20', 'Port 1\n');
  write('home/.ssh/config', 'Include 5\n');
  assert.deepEqual(await options(), ['port 1']);
  write('home/.ssh/config', 'Include 4\n');
  assert.match((await problems()).join(), /^home\/\.ssh\/19:1:1: Include leads to files more than 16 deep/);
  write('home/.ssh/config', 'Include config\n');
  assert.match((await problems()).join(), /^home\/\.ssh\/config:1:1: Include leads to files more than 16 deep/);
});

test('refuses an Include when it names a million files', async () => {
  for (let depth = 0; depth < 14; depth += 1) write(`home/.ssh/${depth}`, `Include ${depth + 1} ${depth + 1}\n`);
  write('home/.ssh/14', '');
  write('home/.ssh/config', 'Include 0\n');
  assert.match((await problems()).join(), /Include leads to more than 4096 files/);
});

test('reads an Include for its mistakes when nothing of it applies', async () => {
  write('home/.ssh/config', 'Host other\n  Include more\n');
  write('home/.ssh/more', 'Host *\n  Prot 1\n  User "open\n');
  assert.deepEqual(await problems(), [
    'home/.ssh/more:2:3: Prot is not a known key; did you mean Port?',
    'home/.ssh/more:3:3: User has an unclosed quote',
  ]);
});

test('escapes names of files when it prints them', async () => {
  write('home/.ssh/d/\u001b[2J', 'Prot 1\nUser a\n');
  write('home/.ssh/config', 'Include d/*\n');
  const { problems, options } = await read();
  assert.match(problems[0]?.file ?? '', /\\x1b\[2J$/);
  assert.match(options[0]?.origin.file ?? '', /\\x1b\[2J$/);
});

function write(path: string, text: string | Buffer, mode = 0o600): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
}

async function read(request: Partial<SshConfigRequest> = {}) {
  const systemFile = join(folder, 'etc/ssh_config');
  return await answerOf({ host: 'web', file: null, first: [], env, systemFile, ...request });
}

async function options(request: Partial<SshConfigRequest> = {}): Promise<string[]> {
  const { options, problems } = await read(request);
  assert.deepEqual(problems, []);
  return options.map(({ key, args }) => [key, ...args].join(' '));
}

async function problems(request: Partial<SshConfigRequest> = {}): Promise<string[]> {
  const { problems } = await read(request);
  return problems.map(({ file, line, column, message }) =>
    `${file}:${line}:${column}: ${message}`.replace(`${folder}/`, ''),
  );
}
