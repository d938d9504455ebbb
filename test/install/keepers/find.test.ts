import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findKeepers } from '../../../src/install/keepers/find.ts';
import { UserError } from '../../../src/lib/user-error.ts';
import type { OldMachine, OldProcess } from '../../../src/install/keepers/machine.ts';

const PI = { name: 'pi', uid: 1000, gid: 1000, comment: '', home: '/home/pi' };
const ROOT = { name: 'root', uid: 0, gid: 0, comment: '', home: '/root' };

function machine(files: Readonly<Record<string, string>>, more: Partial<OldMachine> = {}): OldMachine {
  const paths = Object.keys(files);
  return {
    platform: 'linux',
    hostname: 'pi',
    text: (path) => files[path] ?? null,
    names: (directory) => [
      ...new Set(
        paths
          .filter((path) => path.startsWith(`${directory}/`))
          .map((path) => path.slice(directory.length + 1).split('/')[0]!),
      ),
    ],
    accounts: [ROOT, PI],
    processes: [],
    inherited: new Set(),
    ...more,
  };
}

function process(pid: number, parent: number, argv: readonly string[], more: Partial<OldProcess> = {}): OldProcess {
  return {
    pid,
    parent,
    uid: 1000,
    argv,
    terminal: false,
    cgroup: '/',
    directory: '/home/pi',
    environment: {},
    ...more,
  };
}

/** Name, user, program with arguments, and password of each command; or why it cannot be known. */
function found(files: Readonly<Record<string, string>>, more: Partial<OldMachine> = {}) {
  return findKeepers(machine(files, more)).flatMap(({ name, commands, why }) =>
    why === null
      ? commands.map(({ user, program, args, password }) => [
          name,
          `${user}: ${program} ${args.join(' ')}`,
          ...(password === null ? [] : [JSON.stringify(password)]),
        ])
      : [[name, `not understood: ${why}`]],
  );
}

const SYSTEM = '/etc/systemd/system';
const unit = (...lines: string[]) =>
  `[Unit]\nDescription=x\n[Service]\n${lines.join('\n')}\n[Install]\nWantedBy=multi-user.target\n`;

test('finds units of systemd whatever their name, with templates, drop-ins, files of variables and users', () => {
  const rest = '-R 2222:localhost:22 relay';
  assert.deepEqual(
    found(
      {
        [`${SYSTEM}/phone-home.service`]: unit(
          'User=pi',
          'Environment="AUTOSSH_GATETIME=0"',
          `ExecStart = /usr/bin/autossh -M 0 -N \\\n  -o "ServerAliveInterval 30" ${rest}`,
        ),
        [`${SYSTEM}/background.service`]: unit(
          'Type=forking',
          'User=pi',
          `ExecStart=/usr/bin/autossh -M 20000 -f -NR 7000:localhost:22 relay`,
          'ExecStop=/usr/bin/pkill autossh',
        ),
        // Two instances of a template: one starts with the machine, the other was started by hand.
        [`${SYSTEM}/out@.service`]: unit(
          'EnvironmentFile=/etc/default/out@%i',
          'ExecStart=/usr/bin/ssh -NT -R ${PORT}:localhost:22 %I',
        ),
        [`${SYSTEM}/multi-user.target.wants/out@relay.service`]: '',
        '/etc/default/out@relay': 'PORT=9001\n',
        '/etc/default/out@other\\x2dhost': 'PORT=9002\n',
        // The command comes from a drop-in, and its arguments from /etc/default.
        '/usr/lib/systemd/system/autossh.service': unit(
          'EnvironmentFile=-/etc/default/autossh',
          'ExecStart=/usr/bin/autossh',
        ),
        [`${SYSTEM}/autossh.service.d/local.conf`]: '[Service]\nExecStart=\nExecStart=/usr/bin/autossh $SSH_OPTIONS\n',
        '/etc/default/autossh': `AUTOSSH_PORT=0\nSSH_OPTIONS="-N -i /etc/key ${rest}"\n`,
        '/home/pi/.config/systemd/user/mine.service': unit(`ExecStart=/usr/bin/ssh -N -i %h/.ssh/key ${rest}`),
        // None of these keeps a tunnel.
        [`${SYSTEM}/sshd.service`]: unit('ExecStart=/usr/sbin/sshd -D'),
        [`${SYSTEM}/sync.service`]: unit('ExecStart=/usr/bin/ssh relay make-backup'),
        [`${SYSTEM}/other.service`]: unit('ExecStart=/usr/bin/openvpn --config /etc/x'),
      },
      { processes: [process(5, 1, ['ssh'], { cgroup: '/system.slice/system-out.slice/out@other\\x2dhost.service' })] },
    ),
    [
      ['background.service', 'pi: autossh -M 20000 -f -NR 7000:localhost:22 relay'],
      ['phone-home.service', `pi: autossh -M 0 -N -o ServerAliveInterval 30 ${rest}`],
      ['autossh.service', `root: autossh -N -i /etc/key ${rest}`],
      ['out@relay.service', 'root: ssh -NT -R 9001:localhost:22 relay'],
      ['out@other\\x2dhost.service', 'root: ssh -NT -R 9002:localhost:22 other-host'],
      ['mine.service of pi', `pi: ssh -N -i /home/pi/.ssh/key ${rest}`],
    ].toSorted(byFolder),
  );
});

/** In the order of the files above. */
const ORDER = ['phone-home', 'background', 'autossh.service', 'out@relay', 'out@other', 'mine'];
const byFolder = ([a = '']: string[], [b = '']: string[]) =>
  ORDER.findIndex((name) => a.startsWith(name)) - ORDER.findIndex((name) => b.startsWith(name));

test('knows which of them start with the machine, and which run', () => {
  const files = {
    [`${SYSTEM}/a.service`]: unit('ExecStart=/usr/bin/ssh -N -R 1:a:1 relay'),
    [`${SYSTEM}/b.service`]: unit('ExecStart=/usr/bin/ssh -N -R 2:a:1 relay'),
    [`${SYSTEM}/multi-user.target.wants/a.service`]: '',
  };
  const processes = [process(7, 1, ['ssh', '-N', '-R', '2:a:1', 'relay'], { cgroup: '/system.slice/b.service' })];
  assert.deepEqual(
    findKeepers(machine(files, { processes })).map(({ name, enabled, running }) => [name, enabled, running]),
    [
      ['a.service', true, false],
      ['b.service', false, true],
    ],
  );
});

test('reads the password of sshpass from its option, a file, and the environment', () => {
  assert.deepEqual(
    found({
      [`${SYSTEM}/a.service`]: unit("ExecStart=/usr/bin/sshpass -p 'hush hush' ssh -N -L 5432:db:5432 me@relay"),
      [`${SYSTEM}/b.service`]: unit(
        'EnvironmentFile=/etc/b.env',
        'ExecStart=/usr/bin/sshpass -p${PASS} /usr/bin/autossh -M 0 -N -R 1:a:1 relay',
      ),
      '/etc/b.env': 'PASS=from-a-file\n',
      [`${SYSTEM}/c.service`]: unit('ExecStart=/usr/bin/sshpass -v -f /etc/c.password /usr/bin/ssh -N -D 1080 relay'),
      [`${SYSTEM}/d.service`]: unit('Environment=SSHPASS=hush', 'ExecStart=/usr/bin/sshpass -e ssh -N -R 1:a:1 relay'),
      [`${SYSTEM}/e.service`]: unit("ExecStart=/bin/sh -c 'sshpass -p $(cat /etc/secret) ssh -N -R 1:a:1 relay'"),
    }),
    [
      ['a.service', 'root: ssh -N -L 5432:db:5432 me@relay', '{"type":"text","text":"hush hush"}'],
      ['b.service', 'root: autossh -M 0 -N -R 1:a:1 relay', '{"type":"text","text":"from-a-file"}'],
      ['c.service', 'root: ssh -N -D 1080 relay', '{"type":"file","path":"/etc/c.password"}'],
      ['d.service', 'root: ssh -N -R 1:a:1 relay', '{"type":"text","text":"hush"}'],
      ['e.service', 'not understood: it uses the output of another command, which only running it would show'],
    ],
  );
});

test('finds what cron and rc.local start, through scripts, loops and other users, and names what it cannot read', () => {
  assert.deepEqual(
    found({
      '/var/spool/cron/crontabs/pi': [
        '# m h dom mon dow command',
        'SERVER=relay',
        '@reboot autossh -M 0 -f -N -R 8443:localhost:443 $SERVER',
        '@reboot sleep 60 && ssh -f -N -R 43022:localhost:22 relay &',
        '@reboot /home/pi/tunnel.sh > /home/pi/log 2>&1',
        '*/5 * * * * pgrep -f 9009:localhost || autossh -f -NR 9009:localhost:22 relay',
        '0 3 * * * ssh relay backup',
        '0 4 * * * rsync -a /srv relay:',
        '@reboot while read port; do ssh -N -R $port:a:1 relay; done < /home/pi/ports',
      ].join('\n'),
      '/home/pi/tunnel.sh':
        '#!/usr/bin/env bash\nREMOTE="relay"\nPORT=${1:-7777}\nwhile :\ndo\n  # again and again\n  ssh -o ExitOnForwardFailure=yes -NR $PORT:localhost:22 "$REMOTE"\n  sleep 5\ndone\n',
      '/etc/crontab': '17 * * * * root run-parts /etc/cron.hourly\n@reboot pi ssh -fN -R 1:a:1 relay\n',
      '/etc/cron.d/tunnel': 'PATH=/bin\n@reboot root su - pi -c "autossh -M 0 -N -R 2:a:1 relay"\n',
      '/etc/rc.local':
        '#!/bin/sh -e\nhostname pi\nsudo -u pi autossh -M 0 -f -N \\\n  -R 3:a:1 relay\nnohup /home/pi/tunnel.sh &\nif true; then\n  ssh -fN -R 4:a:1 relay\nfi\nexit 0\n',
    }),
    [
      ['/var/spool/cron/crontabs/pi:3', 'pi: autossh -M 0 -f -N -R 8443:localhost:443 relay'],
      ['/var/spool/cron/crontabs/pi:4', 'pi: ssh -f -N -R 43022:localhost:22 relay'],
      ['/var/spool/cron/crontabs/pi:5', 'pi: ssh -o ExitOnForwardFailure=yes -NR 7777:localhost:22 relay'],
      ['/var/spool/cron/crontabs/pi:6', 'pi: autossh -f -NR 9009:localhost:22 relay'],
      ['/var/spool/cron/crontabs/pi:9', 'not understood: it uses the variable port, which only running it would show'],
      ['/etc/crontab:2', 'pi: ssh -fN -R 1:a:1 relay'],
      ['/etc/cron.d/tunnel:2', 'pi: autossh -M 0 -N -R 2:a:1 relay'],
      ['/etc/rc.local:3', 'pi: autossh -M 0 -f -N -R 3:a:1 relay'],
      ['/etc/rc.local:5', 'root: ssh -o ExitOnForwardFailure=yes -NR 7777:localhost:22 relay'],
      ['/etc/rc.local:7', 'not understood: it stands within a loop or a condition, out of which it cannot be taken'],
    ],
  );
});

test('finds processes that nothing accounts for, and reads from processes what a script does not say', () => {
  const script = unit('ExecStart=/opt/tunnel start');
  const processes = [
    // autossh with its ssh, by hand.
    process(10, 1, ['/usr/lib/autossh/autossh', '-M', '0', '-N', '-R', '1:a:1', 'relay']),
    process(11, 10, ['/usr/bin/ssh', '-N', '-R', '1:a:1', 'relay']),
    // Somebody's terminal, and a loop in tmux.
    process(20, 19, ['ssh', '-N', '-L', '80:a:80', 'relay'], { terminal: true }),
    process(30, 1, ['tmux: server']),
    process(31, 30, ['bash'], { terminal: true }),
    process(32, 31, ['ssh', '-N', '-R', '2:a:1', 'relay'], { terminal: true }),
    // Of a unit whose script is not understood.
    process(40, 1, ['/usr/bin/ssh', '-N', '-R', '3:a:1', 'relay'], { cgroup: '/system.slice/script.service' }),
    // sshpass overwrites its password.
    process(50, 1, ['sshpass', '-pzzzz', 'ssh']),
    process(51, 50, ['ssh', '-N', '-R', '4:a:1', 'relay'], { uid: 0 }),
    process(60, 1, ['sshpass', '-e', 'ssh'], { environment: { SSHPASS: 'hush' } }),
    process(61, 60, ['ssh', '-N', '-R', '5:a:1', 'relay']),
    process(70, 1, ['ssh', 'relay', 'top']),
  ];
  const files = {
    [`${SYSTEM}/script.service`]: script,
    '/opt/tunnel': '#!/bin/sh\ncase $1 in start) ssh -N relay;; esac\n',
  };
  assert.deepEqual(found(files, { processes }), [
    ['script.service', 'pi: ssh -N -R 3:a:1 relay'],
    ['process 10', 'pi: autossh -M 0 -N -R 1:a:1 relay'],
    ['process 32', 'pi: ssh -N -R 2:a:1 relay'],
    [
      'process 51',
      'not understood: sshpass hides its password: put it into a file that only its user can read, and start it with sshpass -f FILE',
    ],
    ['process 61', 'pi: ssh -N -R 5:a:1 relay', '{"type":"text","text":"hush"}'],
  ]);
  assert.deepEqual(found(files), [['script.service', 'not understood: it has case']]);
});

test('finds the jobs of launchd, with comments, shells and users', () => {
  const plist = (...lines: string[]) =>
    `<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "x">\n<plist version="1.0">\n<dict>\n<key>Label</key><string>a.b</string>\n${lines.join('\n')}\n<key>KeepAlive</key><dict><key>NetworkState</key><true/></dict>\n</dict>\n</plist>\n`;
  const array = (...words: string[]) =>
    `<key>ProgramArguments</key>\n<array>${words.map((word) => `<string>${word}</string>`).join('\n')}</array>`;
  const files = {
    '/Library/LaunchDaemons/a.plist': plist(
      '<key>UserName</key><string>pi</string>',
      array('/opt/homebrew/bin/autossh', '-M', '0', '-N', '-R', '1:a:1', 'relay').replace(
        '<string>-N',
        '<!-- ssh -->\n<string><!-- no shell -->&#x2D;N',
      ),
    ),
    // Not closed: its last part alone would be read, which is a job without a command.
    '/Library/LaunchDaemons/h.plist': plist('<key>A</key><dict>', array('/usr/bin/ssh', '-N', '-R', '4:a:1', 'relay')),
    '/Library/LaunchDaemons/i.plist': plist(array('/usr/bin/ssh', '-N', '-R', '5:a:1', 'relay')).replace(
      '</plist>',
      '',
    ),
    '/home/pi/Library/LaunchAgents/b.plist': plist(
      array('/bin/sh', '-c', 'exec ssh -i ~/.ssh/key -T -R 2:a:1 &quot;me&amp;you@relay&quot;'),
    ),
    '/home/pi/Library/LaunchAgents/c.plist': 'bplist00 /usr/bin/ssh',
    '/home/pi/Library/LaunchAgents/d.plist': plist(array('/usr/bin/true')),
    // launchctl would take the domain alone for all that is in it.
    '/home/pi/Library/LaunchAgents/g.plist': plist(array('/usr/bin/ssh', '-N', '-R', '3:a:1', 'relay')).replace(
      'a.b',
      '',
    ),
  };
  // A binary one cannot be read as text.
  const binary = '/home/pi/Library/LaunchAgents/e.plist';
  const closed = '/home/pi/Library/LaunchAgents/f.plist';
  const text = (path: string) => {
    if (path === binary) throw new UserError(`${path} is not UTF-8 text`);
    if (path === closed)
      throw Object.assign(new Error(`EACCES: permission denied, open '${path}'`), { code: 'EACCES' });
    return (files as Readonly<Record<string, string>>)[path] ?? null;
  };
  assert.deepEqual(found({ ...files, [binary]: '', [closed]: '' }, { platform: 'darwin', text }), [
    ['/Library/LaunchDaemons/a.plist', 'pi: autossh -M 0 -N -R 1:a:1 relay'],
    ...['h', 'i'].map((name) => [
      `/Library/LaunchDaemons/${name}.plist`,
      `not understood: it is not XML: plutil -convert xml1 /Library/LaunchDaemons/${name}.plist`,
    ]),
    ['/home/pi/Library/LaunchAgents/b.plist', 'pi: ssh -i /home/pi/.ssh/key -T -R 2:a:1 me&you@relay'],
    [
      '/home/pi/Library/LaunchAgents/c.plist',
      'not understood: it is not XML: plutil -convert xml1 /home/pi/Library/LaunchAgents/c.plist',
    ],
    ['/home/pi/Library/LaunchAgents/g.plist', 'not understood: it has no Label by which launchd would know it'],
    [closed, `not understood: it cannot be read: EACCES: permission denied, open '${closed}'`],
  ]);
});
