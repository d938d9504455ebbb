import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../../src/control/client.ts';
import type { StatusDocument } from '../../../src/status/document.ts';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { PROGRAM, tunneld } from '../../support/tunneld.ts';
import { tempDir, until } from '../../support/until.ts';
import { startWorld, type World } from '../../support/world.ts';

/** Command lines that guides give for ssh and autossh, with their first word replaced. */
const LINES: readonly {
  readonly name: string;
  readonly line: readonly string[];
  /** Where a visitor goes, and whether a real ssh or an echo is behind it. */
  readonly port: number;
  readonly leadsTo: 'ssh' | 'echo';
}[] = [
  {
    name: 'something-dedyn-io',
    line: [
      '-o',
      'ServerAliveInterval=120',
      '-o',
      'ServerAliveCountMax=3',
      '-NR',
      '8080:localhost:22',
      'limited@something.dedyn.io',
      '-p',
      '2222',
    ],
    port: 8080,
    leadsTo: 'ssh',
  },
  {
    name: 'something-dedyn-io',
    line: [
      '-v',
      '-o',
      'ServerAliveInterval=120',
      '-o',
      'ServerAliveCountMax=3',
      '-o',
      'ExitOnForwardFailure=yes',
      '-NR',
      '8080:localhost:22',
      'limited@something.dedyn.io',
      '-p',
      '2222',
    ],
    port: 8080,
    leadsTo: 'ssh',
  },
  {
    name: 'server',
    line: ['-o', 'IdentitiesOnly=yes', '-i', 'HOME/.ssh/id_relay', '-NTR', '22221:localhost:22', 'relay@server'],
    port: 22221,
    leadsTo: 'ssh',
  },
  {
    name: 'server-cloud-com',
    line: [
      '-o',
      'passwordFile=HOME/password',
      '-o',
      'IdentityFile=none',
      '-NR',
      '22100:localhost:10000',
      '-p',
      '22000',
      'user@server.cloud.com',
    ],
    port: 22100,
    leadsTo: 'echo',
  },
  {
    name: 'servername',
    line: [
      '-NTC',
      '-o ServerAliveInterval=60',
      '-o ExitOnForwardFailure=yes',
      '-i',
      'key',
      '-R 12345:localhost:22',
      'remoteuser@servername',
    ],
    port: 12345,
    leadsTo: 'ssh',
  },
  { name: 'shellserver', line: ['-L', '9999:mailserver:110', 'shellserver'], port: 9999, leadsTo: 'echo' },
  { name: 'home-with-tunnel', line: ['home-with-tunnel'], port: 2223, leadsTo: 'ssh' },
  { name: 'home-with-space', line: ['home-with-space'], port: 2224, leadsTo: 'ssh' },
  { name: 'relay', line: ['relay', '-R', '2225:localhost:22'], port: 2225, leadsTo: 'ssh' },
];

test('run a tunnel when they are of ssh and autossh', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startWorld(t, {
    hosts: [
      'something.dedyn.io',
      'server',
      'server.cloud.com',
      'servername',
      'shellserver',
      'mailserver',
      'home.example',
      'relay.example',
    ],
    users: ['limited', 'relay', 'user', 'remoteuser', 'me'],
    password: 'pass word',
    ports: [22, 2222, 22_000],
    echoes: [110, 10_000],
  });
  furnish(world);
  for (const { name, line, port, leadsTo } of LINES) {
    await t.test(`brings the tunnel up: tunneld run ${line.join(' ')}`, async (t) => {
      const args = line.map((word) => word.replace('HOME', world.home));
      const daemon = run(t, world, args);
      const status = await daemon.untilUp(name);
      assert.equal(status.config, 'command line');
      visit(world, port, leadsTo);
      const logs = world.run(command(world, ['logs', name, '--json'])).toString();
      assert.match(logs, /connection opened/);
      await daemon.stop();
    });
  }

  await t.test('makes a service in one step when --print-config is given', async (t) => {
    const args = LINES[4]!.line;
    const yaml = world.run(command(world, ['run', '--print-config', ...args])).toString();
    const file = join(world.home, 'printed.yaml');
    writeFileSync(file, `${yaml}network: { ping: [] }\n`);
    const daemon = run(t, world, ['--config', file]);
    await daemon.untilUp('servername');
    visit(world, 12_345, 'ssh');
    await daemon.stop();
  });

  await t.test('has a name of its own when it is a second one to the same server, and status reports it', async (t) => {
    const first = run(t, world, ['-L', '9001:mailserver:110', 'shellserver']);
    await first.untilUp('shellserver');
    const second = run(t, world, ['-L', '9002:mailserver:110', 'shellserver']);
    await second.untilUp('shellserver-2');
    visit(world, 9001, 'echo');
    visit(world, 9002, 'echo');
    const child = world.spawn(command(world, ['status']), { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout!.on('data', (text) => (said += String(text)));
    child.stderr!.on('data', (text) => (said += String(text)));
    await new Promise((resolve) => child.once('close', resolve));
    assert.match(said, /another daemon runs here: tunneld status shellserver-2/);
    await Promise.all([first.stop(), second.stop()]);
  });
});

test('exits with 2 when arguments are wrong, with 78 when files are, each with what would be right', async (t) => {
  const dir = await tempDir(t);
  const file = join(dir, 'ssh_config');
  writeFileSync(file, 'Host x\n  Prot 22\n');
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['-p', '99999', '-L', '1:a:1', 'x'], 2, /^tunneld: -p 99999: port must be a whole number from 1 to 65535/],
    [['-L', '1:a', 'x'], 2, /^tunneld: -L 1:a: localForward must be a forward such as 8080:localhost:22/],
    [['-o', 'Prot=1', '-L', '1:a:1', 'x'], 2, /^tunneld: -o Prot=1: Prot is not a known key; did you mean Port\?/],
    [['--config', file, '-L', '1:a:1', 'x'], 2, /either --config or the options of ssh/],
    [['--print-config'], 2, /--print-config needs the options of ssh/],
    [['-F', file, '-L', '1:a:1', 'x'], 78, /ssh_config:2:3: Prot is not a known key; did you mean Port\?/],
    [['-F', join(dir, 'none-such'), '-L', '1:a:1', 'x'], 78, /none-such:1:1: no such file/],
  ];
  for (const [args, code, expected] of cases) {
    const result = await tunneld(['run', ...args], { env: { HOME: dir, RUNTIME_DIRECTORY: dir } });
    assert.deepEqual([result.code, result.stdout], [code, ''], args.join(' '));
    assert.match(result.stderr, expected);
  }
  const help = await tunneld(['run', '--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--print-config/);
});

/** What the people of those guides have in their home. */
function furnish({ home, key, hostKey }: World): void {
  for (const name of ['.ssh/id_ed25519', '.ssh/id_relay', 'key']) {
    copyFileSync(key, join(home, name));
    copyFileSync(`${key}.pub`, join(home, `${name}.pub`));
  }
  writeFileSync(join(home, 'password'), 'pass word\n', { mode: 0o600 });
  writeFileSync(join(home, '.ssh/known_hosts'), `* ${hostKey}\n`);
  writeFileSync(join(home, 'relay_hosts'), `relay.example ${hostKey}\n`);
  writeFileSync(
    join(home, '.ssh/config'),
    `Host home-with-tunnel
  Hostname home.example
  RemoteForward 2223:localhost:22
  User me
Host home-with-space
  Hostname home.example
  RemoteForward 2224 localhost:22
  User me
Host relay
  HostName relay.example
  User relay
  ExitOnForwardFailure yes
  UserKnownHostsFile ${home}/relay_hosts
  IdentityFile ~/.ssh/id_relay
  IdentitiesOnly yes
`,
    { mode: 0o600 },
  );
}

function command({ home, dir }: World, args: readonly string[]): string[] {
  const variables = {
    HOME: home,
    RUNTIME_DIRECTORY: join(dir, 'run'),
    STATE_DIRECTORY: join(dir, 'state'),
    SSH_AUTH_SOCK: '',
  };
  const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  return ['env', '-C', home, ...settings, process.execPath, ...PROGRAM, ...args];
}

function run(t: TestContext, world: World, args: readonly string[]) {
  const child: ChildProcess = world.spawn(command(world, ['run', ...args]), { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr!.on('data', (text) => (stderr += String(text)));
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const configured = args[0] === '--config' ? args.slice(0, 2) : [];
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  };
  t.after(stop);
  const runtime = join(world.dir, 'run');
  const sockets = () => readdirSync(runtime).map((socket) => join(runtime, socket));
  return {
    stop,
    untilUp: async (name: string): Promise<StatusDocument> => {
      let last: StatusDocument | null = null;
      const isUp = () => last?.tunnels.some((tunnel) => tunnel.name === name && tunnel.phase === 'up');
      const what = () => `${name} to be up; ${JSON.stringify(last?.tunnels)}; it says: ${stderr}`;
      await until(
        async () => {
          // A command takes a quarter of a second of the processor: it is run when there is something to see.
          for (const socket of sockets()) {
            const answer = await ask([socket], { command: 'status' });
            if (answer.ok) last = answer.result;
            if (isUp()) return true;
          }
          return false;
        },
        { what },
      );
      last = JSON.parse(
        world.run(command(world, ['status', name, '--json', ...configured])).toString(),
      ) as StatusDocument;
      assert.ok(isUp(), what());
      return last;
    },
  };
}

/** Sends a megabyte through and back. */
function visit(world: World, port: number, leadsTo: 'ssh' | 'echo'): void {
  const data = randomBytes(1_000_000);
  const ssh = [
    'ssh',
    '-F',
    'none',
    '-p',
    `${port}`,
    '-i',
    world.key,
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'LogLevel=ERROR',
    'root@localhost',
    'cat',
  ];
  const echo = [
    process.execPath,
    '-e',
    `process.stdin.pipe(net.connect({ port: ${port}, host: '127.0.0.1', allowHalfOpen: true })).pipe(process.stdout)`,
  ];
  const back = world.run(leadsTo === 'ssh' ? ssh : echo, data);
  assert.ok(back.equals(data), `${back.length} bytes came back`);
}
