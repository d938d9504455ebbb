import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Account } from '../../../src/install/launchd/account.ts';
import { renderJob } from '../../../src/install/launchd/job.ts';
import { launchdPlan, launchdRemoval } from '../../../src/install/launchd/plan.ts';
import { type PlistDict, renderPlist } from '../../../src/install/launchd/plist.ts';
import { launchdService, type LaunchdOptions } from '../../../src/install/launchd/service.ts';
import { stablePath } from '../../../src/install/launchd/stable-path.ts';
import { launchdWarnings } from '../../../src/install/launchd/warnings.ts';

const SHIPPED = fileURLToPath(new URL('../../../launchd/dev.tunneld.tunneld.plist', import.meta.url));

const account: Account = { name: 'tunneld', uid: 501, group: 'staff', home: '/Users/tunneld' };
const usual: LaunchdOptions = {
  kind: 'daemon',
  account,
  node: '/usr/local/bin/node',
  program: '/usr/local/bin/tunneld',
  config: '/usr/local/etc/tunneld/config.yaml',
};

/** What Python, which has a parser of its own, finds in a property list. */
function parse(plist: string): unknown {
  const script = 'import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))';
  return JSON.parse(execFileSync('/usr/bin/python3', ['-c', script], { input: plist, encoding: 'utf8' }));
}

test('ships the plist that an installation writes when the names are the usual ones', () => {
  const rendered = renderJob(launchdService(usual));
  if (process.env['WRITE_SHIPPED_PLIST']) writeFileSync(SHIPPED, rendered);
  assert.equal(readFileSync(SHIPPED, 'utf8'), rendered, 'run this test with WRITE_SHIPPED_PLIST=1 to write it anew');
});

test('runs a daemon as the account, from paths that stay, with a log of its own and a watchdog', () => {
  assert.deepEqual(parse(renderJob(launchdService(usual))), {
    Label: 'dev.tunneld.tunneld',
    UserName: 'tunneld',
    ProgramArguments: [
      '/usr/local/bin/node',
      '--single-threaded-gc',
      '--v8-pool-size=1',
      '--inspect-port=240.0.0.1:9229',
      '/usr/local/bin/tunneld',
      'run',
      '--config',
      '/usr/local/etc/tunneld/config.yaml',
    ],
    EnvironmentVariables: {
      PATH: '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin',
      HOME: '/Users/tunneld',
      STATE_DIRECTORY: '/var/db/tunneld',
      RUNTIME_DIRECTORY: '/var/db/tunneld',
      TUNNELD_LOG_FILE: '/var/log/tunneld/tunneld.log',
      TUNNELD_WATCHDOG: '60',
    },
    KeepAlive: true,
    ThrottleInterval: 10,
    ExitTimeOut: 15,
    Umask: 0o077,
    HardResourceLimits: { Core: 0 },
    StandardErrorPath: '/var/log/tunneld/launchd.log',
  });
});

test('takes the options of node from the first line of the program', () => {
  const build = readFileSync(new URL('../../../packaging/build.mjs', import.meta.url), 'utf8');
  const [, flags = ''] = /^const flags = '(.*)';$/m.exec(build) ?? [];
  assert.match(flags, /^--single-threaded-gc /);
  for (const flag of flags.split(' ')) assert.ok(renderJob(launchdService(usual)).includes(`<string>${flag}</string>`));
});

test('makes an agent for its user, also when the home has a difficult name', () => {
  const home = '/Users/Zoë & <Söhne> "x" \'y\' ]]> -- 日本 🦊';
  const config = `${home}/.config/tunneld/a\nb\tc\rd.yaml`;
  const service = launchdService({ ...usual, kind: 'agent', account: { ...account, home }, config });
  const parsed = parse(renderJob(service)) as Record<string, unknown>;
  const { ProgramArguments, EnvironmentVariables, StandardErrorPath } = parsed;
  assert.equal(service.plist, `${home}/Library/LaunchAgents/dev.tunneld.tunneld.plist`);
  assert.equal(service.target, 'gui/501/dev.tunneld.tunneld');
  assert.equal((ProgramArguments as string[]).at(-1), config);
  assert.deepEqual(EnvironmentVariables, {
    PATH: '/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    HOME: home,
    TUNNELD_LOG_FILE: `${home}/Library/Logs/tunneld/tunneld.log`,
    TUNNELD_WATCHDOG: '60',
  });
  assert.equal(StandardErrorPath, `${home}/Library/Logs/tunneld/launchd.log`);
  assert.ok(!('UserName' in parsed));
});

test('reads every value back as it was, and refuses what XML cannot hold', () => {
  const strange = String.fromCodePoint(
    ...Array.from({ length: 0x250 }, (_, code) => code).filter((code) => code > 31 || [9, 10, 13].includes(code)),
  );
  const dict: PlistDict = {
    [strange]: strange,
    '': '',
    'a b': ' a  b ',
    deep: { list: [1, -2, true, false, 'x', { y: [] }], none: {} },
  };
  assert.deepEqual(parse(renderPlist('a header', dict, { 'a b': 'a comment' })), dict);
  for (const bad of ['\u0000', '\u001b', '\ud800', '\uffff', 'x\udc00y']) {
    assert.throws(() => renderPlist('', { a: bad }, {}), /cannot hold/, JSON.stringify(bad));
  }
});

test('plans the steps of a daemon and of an agent', () => {
  const own = { owner: 'tunneld', group: 'staff' };
  const daemon = launchdService(usual);
  assert.deepEqual(launchdPlan(daemon, [usual.config, '/usr/local/etc/tunneld/backup.key']), [
    { type: 'directory', path: '/usr/local/etc/tunneld', mode: 0o755, ...own },
    { type: 'directory', path: '/var/db/tunneld', mode: 0o700, ...own },
    { type: 'directory', path: '/var/log/tunneld', mode: 0o700, ...own },
    { type: 'file', path: '/usr/local/etc/tunneld/config.yaml', mode: 0o600, ...own, content: null },
    { type: 'file', path: '/usr/local/etc/tunneld/backup.key', mode: 0o600, ...own, content: null },
    {
      type: 'file',
      path: '/Library/LaunchDaemons/dev.tunneld.tunneld.plist',
      mode: 0o644,
      owner: 'root',
      group: 'wheel',
      content: renderJob(daemon),
    },
  ]);
  const elsewhere = launchdPlan(launchdService({ ...usual, config: '/Users/tunneld/tunneld.yaml' }), []);
  assert.deepEqual(
    elsewhere.map((step) => 'path' in step && step.path),
    ['/var/db/tunneld', '/var/log/tunneld', daemon.plist],
  );
  const agent = launchdService({ ...usual, kind: 'agent' });
  assert.deepEqual(launchdPlan(agent, []), [
    { type: 'directory', path: '/Users/tunneld/Library/LaunchAgents', mode: 0o755, ...own },
    { type: 'directory', path: '/Users/tunneld/Library/Logs/tunneld', mode: 0o700, ...own },
    { type: 'file', path: agent.plist, mode: 0o644, ...own, content: renderJob(agent) },
  ]);
  assert.deepEqual(launchdRemoval(agent, null), [{ type: 'remove', path: agent.plist }]);
  assert.deepEqual(
    launchdRemoval(daemon, ['/var/db/tunneld', '/usr/local/etc/tunneld']).map((step) => 'path' in step && step.path),
    [daemon.plist, '/var/log/tunneld', '/var/db/tunneld', '/usr/local/etc/tunneld'],
  );
});

test("chooses a program's path that stays when the program is updated", () => {
  const cellar = '/opt/homebrew/Cellar/node/22.1.0/bin/node';
  const kegOnly = '/usr/local/Cellar/node@20/20.19.0/bin/node';
  const links: Record<string, string> = {
    '/opt/homebrew/opt/node/bin/node': cellar,
    '/opt/homebrew/bin/node': cellar,
    '/usr/local/opt/node@20/bin/node': kegOnly,
  };
  const real = (path: string) => links[path] ?? (path === cellar || path === kegOnly ? path : null);
  assert.equal(stablePath(cellar, real), '/opt/homebrew/opt/node/bin/node');
  assert.equal(stablePath(kegOnly, real), '/usr/local/opt/node@20/bin/node');
  delete links['/opt/homebrew/opt/node/bin/node'];
  assert.equal(stablePath(cellar, real), '/opt/homebrew/bin/node');
  links['/opt/homebrew/bin/node'] = '/opt/homebrew/Cellar/node/23.0.0/bin/node';
  assert.equal(stablePath(cellar, real), cellar);
  const nvm = '/Users/me/.nvm/versions/node/v20.19.0/bin/node';
  assert.equal(stablePath(nvm, real), nvm);
});

test('says what macOS keeps from services', () => {
  const daemon = launchdService({ ...usual, config: '/Users/tunneld/Documents/tunneld/config.yaml' });
  const [first, second, third] = launchdWarnings(daemon, ['/Volumes/stick/key', '/Users/tunneld/.ssh/key']);
  assert.match(first ?? '', /Documents\/tunneld\/config\.yaml/);
  assert.match(second ?? '', /Volumes\/stick\/key/);
  assert.equal(third, undefined);
  const agent = launchdWarnings(launchdService({ ...usual, kind: 'agent' }), []);
  assert.match(agent.join('\n'), /logged in[^]*local network/);
});
