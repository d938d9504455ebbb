import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { TunnelStatus } from '../../src/status/document.ts';
import { startDns } from '../support/dns.ts';
import { startEcho } from '../support/echo.ts';
import { listen } from '../support/listen.ts';
import { startSshd } from '../support/sshd.ts';
import { bootSystemd } from '../support/systemd-box.ts';
import { freePort, until } from '../support/until.ts';
import { startBlackHole } from '../support/black-hole.ts';
import { visit } from '../support/visit.ts';
import { installService, KEY } from './installed-service.ts';

/** The daemon's own limit is 2 s; the rest is for a machine that is busy with other tests. */
const STOP_LIMIT_MS = 10_000;
/** More than a machine that is held up for a moment is still for. */
const WATCHDOG_S = 8;
/** Of loopback, and nobody's. */
const NAME_SERVER = '127.77.53.1';

test('runs as meant when the unit is under a real systemd', async (t) => {
  const box = await bootSystemd(t);
  if (box === null) return;
  const sshd = await startSshd({ hostKeyTypes: ['ed25519', 'ecdsa'] });
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const tunnel = (name: string, at: number, more: string) => `  ${name}:
    host: 127.0.0.1
    port: ${at}
    user: ${sshd.user}
    identityFile: ${KEY}
    strictHostKeyChecking: accept-new
    ${more}
`;
  const main = `network: { ping: [127.0.0.1] }
tunnels:
${tunnel('main', sshd.port, `remoteForward: ${port}:127.0.0.1:${echo.port}`)}`;
  const service = await installService(box, sshd.clientKey, main);
  /** systemd is told a moment after a tunnel is up. */
  const untilStatus = (line: string) =>
    until(async () => (await service.property('StatusText')) === line, { what: `the status ${line}` });
  const isUp = ({ phase }: { phase: string }) => phase === 'up';

  await t.test('waits for READY when it starts, and reports how the tunnels are', async () => {
    // systemd runs this when it believes that the service is ready; if it fails, so does the start.
    await service.dropIn('ExecStartPost=/usr/bin/test -S /run/tunneld/control.sock');
    await box.must('systemctl', 'start', 'tunnel');
    await untilStatus('1 of 1 tunnel up');
    assert.equal(await visit(port, 'through the sandbox'), 'through the sandbox');
  });

  await t.test('gives the control socket to root and the group of the service', async () => {
    assert.match(await box.must('tunneld', 'status'), /^main +up /m);
    assert.match(await box.must('runuser', '-u', 'tunneld', '--', 'tunneld', 'status'), /^main +up /m);
    const asMember = await box.must('runuser', '-u', 'nobody', '-G', 'tunneld', '--', 'tunneld', 'status');
    assert.match(asMember, /^main +up /m);
    assert.equal(await box.must('stat', '-c', '%U:%G %a', '/run/tunneld/control.sock'), 'tunneld:tunneld 660\n');
    const other = await box.run('runuser', '-u', 'nobody', '--', 'tunneld', 'status');
    assert.equal(other.code, 3);
    assert.match(other.stderr, /permission denied/);
  });

  await t.test('keeps new host keys where the service user finds them outside of the service too', async () => {
    const file = '/var/lib/tunneld/.ssh/known_hosts';
    const keys = () => box.must('runuser', '-u', 'tunneld', '--', 'cat', file);
    await until(async () => (await keys()).trimEnd().split('\n').length === 2, {
      what: 'the second key of the server',
    });
    assert.equal(await keys(), sshd.knownHostsLine());
    assert.equal(await box.must('stat', '-c', '%U %a', file), 'tunneld 600\n');
  });

  await t.test('looks names up when the name server, known_hosts and the key come later', async (t) => {
    const dns = await startDns(t, NAME_SERVER);
    writeFileSync(box.path('/etc/resolv.conf'), 'nameserver 127.77.53.2\noptions timeout:1 attempts:1\n');
    const named = await freePort();
    const byName = tunnel('named', sshd.port, `remoteForward: ${named}:127.0.0.1:${echo.port}`)
      .replace('host: 127.0.0.1', 'host: relay.example')
      .replace(KEY, '/var/lib/tunneld/late.key')
      .replace('accept-new', 'yes\n    userKnownHostsFile: /var/lib/tunneld/late');
    service.configure(`${main}${byName}`);
    await box.must('systemctl', 'reload', 'tunnel');
    // The key and known_hosts would otherwise be asked for again after 54 seconds or more.
    await service.untilTunnel('named', ({ failure }) => failure?.code === 'key-unreadable');
    const lateKey = ['-o', 'tunneld', '-m', '600', KEY, '/var/lib/tunneld/late.key'];
    await box.must('install', ...lateKey);
    await service.untilTunnel('named', ({ failure }) => failure?.code === 'dns-failed');
    writeFileSync(box.path('/etc/resolv.conf'), `nameserver ${NAME_SERVER}\n`);
    await service.untilTunnel('named', ({ failure }) => failure?.code === 'host-key-unknown');
    writeFileSync(box.path('/var/lib/tunneld/late'), sshd.knownHostsLine('relay.example'), { mode: 0o644 });
    await service.untilTunnel('named', isUp);
    assert.ok(dns.asked.has('relay.example'));
    assert.equal(await visit(named, 'by name'), 'by name');
    service.configure(main);
    await box.must('systemctl', 'reload', 'tunnel');
  });

  await t.test('reports the service, its watchdog and its journal when doctor looks', async () => {
    const { stdout } = await box.run('tunneld', 'doctor');
    assert.match(stdout, /^ok +service manager +tunnel\.service is active and enabled; the daemon runs/m);
    assert.match(stdout, /^ok +watchdog +every 1min$/m);
    assert.match(stdout, /^ok +journal +journalctl -u tunnel: the last line is from \d{4}-/m);
  });

  await t.test('applies a good file when it is reloaded, and changes nothing and fails when it is bad', async (t) => {
    const { sourcePort } = await service.untilTunnel('main', isUp);
    const hole = await startBlackHole(t);
    const rude = createServer((socket) =>
      socket.on('error', () => {}).end('SSH-2.0-\u001b[2J\u009b\u2028\u202eevil\r\n'),
    );
    const rudePort = await listen(rude);
    t.after(() => rude.close());
    const more = `${main}${tunnel('hole', hole.port, `remoteForward: ${await freePort()}:localhost:22\n    connectTimeout: 1`)}${tunnel('rude', rudePort, `remoteForward: ${await freePort()}:localhost:22`)}`;
    service.configure(more);
    await box.must('systemctl', 'log-level', 'debug'); // it then logs what it is told
    await box.must('systemctl', 'reload', 'tunnel');
    const told = async () => {
      await box.must('journalctl', '--sync');
      return await box.must('journalctl', '--unit=tunnel');
    };
    await until(async () => /notification message .*RELOADING=1[^]*notification message .*READY=1/.test(await told()), {
      what: 'what systemd is told of a reload',
    });
    await box.must('systemctl', 'log-level', 'info');
    // A network that answers no ping would be waited for: in the sandbox, ping works.
    const { phase } = await service.untilTunnel('hole', ({ failure }) => failure !== undefined);
    assert.equal(phase, 'waiting');
    await service.untilTunnel('rude', ({ failure }) => failure?.code === 'handshake-failed');
    assert.equal((await service.untilTunnel('main', isUp)).sourcePort, sourcePort);

    service.configure(more.replace('connectTimeout', 'connectTimout'));
    assert.notEqual((await box.run('systemctl', 'reload', 'tunnel')).code, 0);
    assert.equal(await service.property('ActiveState'), 'active');
    const problem = (await service.journal()).find(({ message }) => message.includes('connectTimout'));
    assert.match(problem?.message ?? '', /^\/etc\/tunneld\/config\.yaml:\d+:\d+: .* did you mean connectTimeout\?$/);
    assert.equal(problem?.priority, 3);
    assert.equal((await service.status()).tunnels.length, 3);
    assert.equal((await service.untilTunnel('main', isUp)).sourcePort, sourcePort);
  });

  await t.test('keeps a tunnel that a reload changes until its successor is up', async () => {
    const { sourcePort } = await service.untilTunnel('main', isUp);
    service.configure(main.replace('    remoteForward', '    serverAliveInterval: 20\n    remoteForward'));
    await box.must('systemctl', 'reload', 'tunnel');
    // Between the two the port is nobody's for a moment.
    await until(async () => (await visit(port, 'the old or the new one')) === 'the old or the new one', {
      what: 'one of the two',
    });
    const isNew = (now: TunnelStatus) => isUp(now) && now.sourcePort !== sourcePort && now.previous === undefined;
    await service.untilTunnel('main', isNew);
    assert.equal(await visit(port, 'the new one'), 'the new one');
    service.configure(main);
  });

  await t.test('announces its end, and is quick, when it is stopped', async () => {
    await box.must('systemctl', 'log-level', 'debug'); // it then logs what it is told
    const asked = performance.now();
    await box.must('systemctl', 'stop', 'tunnel');
    assert.ok(performance.now() - asked < STOP_LIMIT_MS);
    await box.must('systemctl', 'log-level', 'info');
    assert.equal(await service.property('Result'), 'success');
    await box.must('journalctl', '--sync');
    assert.match(await box.must('journalctl', '--unit=tunnel'), /Got notification message from PID .*STOPPING=1/);
    await assert.rejects(visit(port, 'anybody?'));
  });

  await t.test('runs the last file that worked, and says so, when it starts with an invalid one', async () => {
    service.configure('nonsense: yes\n');
    await box.must('systemctl', 'start', 'tunnel');
    await service.untilTunnel('main', isUp);
    await untilStatus('the configuration file is not valid; 1 of 1 tunnel up');
    await box.must('systemctl', 'stop', 'tunnel');
  });

  await t.test('does not start again and again when nothing ever worked', async () => {
    await box.must('rm', '/var/lib/tunneld/last-good.yaml');
    assert.notEqual((await box.run('systemctl', 'start', 'tunnel')).code, 0);
    // It would be "activating", waiting for the next start.
    assert.equal(await service.property('ActiveState'), 'failed');
    assert.equal(await service.property('ExecMainStatus'), '78');
    const problem = (await service.journal()).find(({ message }) => message.includes('nonsense'));
    assert.match(problem?.message ?? '', /^\/etc\/tunneld\/config\.yaml:1:1: /);
    assert.equal(problem?.priority, 3);
  });

  await t.test('is started every two seconds, and no faster, when it ends again and again', async () => {
    await service.dropIn('ExecStart=', 'ExecStart=/bin/false');
    const began = performance.now();
    await box.run('systemctl', 'start', '--no-block', 'tunnel');
    await until(async () => Number(await service.property('NRestarts')) >= 2, { what: 'the second restart' });
    assert.ok(performance.now() - began > 3900);
    await box.must('systemctl', 'stop', 'tunnel');
    await box.must('systemctl', 'reset-failed', 'tunnel');
  });

  await t.test('feeds the watchdog while there is an outage', async () => {
    service.configure(main);
    await service.dropIn(`WatchdogSec=${WATCHDOG_S}`);
    await box.must('systemctl', 'start', 'tunnel');
    const pid = await service.property('MainPID');
    await service.untilTunnel('main', isUp);
    await sshd.kill();
    await wait((WATCHDOG_S + 1) * 1000);
    await untilStatus('0 of 1 tunnel up; main: connect-refused');
    await sshd.restart();
    await box.must('tunneld', 'retry');
    await service.untilTunnel('main', isUp);
    assert.equal(await service.property('MainPID'), pid);
    assert.equal(await service.property('NRestarts'), '0');
  });

  await t.test('is replaced when the process is frozen', async () => {
    await box.must('systemctl', 'kill', '--signal=SIGSTOP', 'tunnel');
    await until(async () => (await service.property('NRestarts')) !== '0', { what: 'the restart' });
    await service.untilTunnel('main', isUp);
    await box.must('journalctl', '--sync');
    assert.match(await box.must('journalctl', '--unit=tunnel'), /Watchdog timeout/);
    assert.equal(await visit(port, 'again'), 'again');
  });

  await t.test('is replaced when its event loop is blocked, too', async () => {
    const hook = '/var/lib/tunneld/block.cjs';
    const block = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)';
    writeFileSync(box.path(hook), `process.on('SIGUSR2', () => ${block});\n`);
    await service.dropIn(`WatchdogSec=${WATCHDOG_S}`, `Environment=NODE_OPTIONS=--require=${hook}`);
    await box.must('systemctl', 'restart', 'tunnel');
    await service.untilTunnel('main', isUp);
    const pid = await service.property('MainPID');
    await box.must('systemctl', 'kill', '--kill-whom=main', '--signal=SIGUSR2', 'tunnel');
    await until(async () => !['0', pid].includes(await service.property('MainPID')), {
      what: 'another process',
    });
    await service.untilTunnel('main', isUp);
    assert.equal(await visit(port, 'unblocked'), 'unblocked');
  });

  await t.test(
    'writes one safe line for people for each message into the journal, with its priority and its fields',
    async () => {
      const entries = await service.journal();
      const [started] = entries.filter(({ message }) => message.startsWith('tunneld started version='));
      assert.equal(started?.priority, 6);
      const failed = entries.filter(({ message }) => message.startsWith('[hole] ') && message.includes(' code='));
      assert.ok(failed.some(({ priority }) => priority === 4));
      assert.deepEqual(
        entries.filter(({ message }) => /^\{|permi|denied|EPERM|EACCES|systemd could not be notified/i.test(message)),
        [],
      );
      // Older versions cannot pass journald's socket on.
      if (Number(/^systemd (\d+)/.exec(await box.must('systemctl', '--version'))?.[1]) < 253) return;
      for (const { fields } of failed) assert.deepEqual([fields['TUNNEL'], typeof fields['CODE']], ['hole', 'string']);
      const found = await box.must('journalctl', '--output=cat', 'TUNNEL=hole', '_SYSTEMD_UNIT=tunnel.service');
      assert.ok(found.includes(failed[0]!.message));
    },
  );

  await t.test('has the sandbox that was meant when systemd has made it', async () => {
    assert.deepEqual(await box.run('systemd-analyze', 'verify', 'tunnel.service'), { code: 0, stdout: '', stderr: '' });
    const { code, stdout } = await box.run('systemd-analyze', 'security', '--threshold=18', 'tunnel.service');
    assert.equal(code, 0, stdout);
  });
});
