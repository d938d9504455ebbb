import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HistoryDocument } from '../../../src/history/document.ts';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startSshd } from '../../support/sshd.ts';
import { startDaemonProcess } from '../../support/tunneld.ts';
import { freePort, until } from '../../support/until.ts';

test('goes from one server to several and back when a configuration is applied or reloaded, and has one history', async (t) => {
  const [first, second] = await Promise.all([startSshd(), startSshd()]);
  t.after(() => Promise.all([first.stop(), second.stop()]));
  const one = tunnelYaml(first, 'backup', '0:localhost:22', '    reconnect: { min: 1, max: 2 }\n');
  const known = join(first.dir, 'known_hosts');
  writeFileSync(known, `${readFileSync(known, 'utf8')}${second.knownHostsLine('127.0.0.1', second.port)}\n`);
  const at = {
    first: `{ host: 127.0.0.1, port: ${first.port} }`,
    second: `{ host: 127.0.0.1, port: ${second.port}, user: ${second.user}, identityFile: ${second.clientKey} }`,
    nowhere: `{ host: 127.0.0.2, port: ${await freePort()} }`,
    blocked: `{ host: localhost, port: ${first.port}, identityFile: /no/such/key }`,
  };
  const several = (...servers: readonly (keyof typeof at)[]) =>
    one.replace(
      / {4}host: .*\n {4}port: .*\n/,
      `    servers: { failover: [${servers.map((name) => at[name]).join(', ')}], after: 1, back: 1 }\n`,
    );
  const daemon = await startDaemonProcess(t, `tunnels:\n${one}`);
  const isAt = (port: number, count: number) =>
    daemon.untilStatus(
      ({ tunnels, trial }) =>
        trial === undefined &&
        tunnels.length === count &&
        tunnels.every(({ servers, phase, server, previous }) =>
          servers?.standby === true
            ? phase === 'stopped'
            : phase === 'up' && server.endsWith(`:${port}`) && previous === undefined,
        ),
      `up at ${port} alone, of ${count}`,
    );
  const trial = (text: string) => {
    const file = join(daemon.dir, 'next.yaml');
    writeFileSync(file, readFileSync(daemon.configFile, 'utf8').replace(/tunnels:\n(?: .*\n)+/, `tunnels:\n${text}`));
    return file;
  };
  await isAt(first.port, 1);

  const applied = await daemon.command('apply', trial(several('first', 'second')));
  assert.deepEqual([applied.code, applied.stderr], [0, ''], applied.stdout);
  await isAt(first.port, 2);

  // While what had it is up at a server that refuses the new one, no other server is tried.
  const wrong = trial(
    several('first', 'second').replace(`identityFile: ${first.clientKey}`, 'identityFile: /no/such/key'),
  );
  const refused = await daemon.command('apply', '--confirm', '1h', wrong);
  assert.deepEqual([refused.code, /backup is blocked/.test(refused.stderr)], [1, true], refused.stderr);
  await isAt(first.port, 2);

  // The first one's end, and its return.
  await first.kill();
  await daemon.untilStatus(({ tunnels: [, other] }) => other?.phase === 'up', 'the second server');
  await first.restart();
  await isAt(first.port, 2);

  // The server that has the tunnel comes behind one that is away.
  daemon.writeConfig(`tunnels:\n${several('nowhere', 'first')}`);
  assert.equal((await daemon.command('reload')).code, 0);
  await daemon.untilStatus(
    ({ tunnels }) => tunnels.some(({ phase, server }) => phase === 'up' && server.endsWith(`:${first.port}`)),
    'what had it, as the second one',
  );

  // One that refuses the key does not end the trial of a tunnel that has another server.
  const asked = await daemon.command('apply', '--confirm', '1h', trial(several('blocked', 'second')));
  assert.deepEqual([asked.code, asked.stderr], [0, ''], asked.stdout);
  const confirmed = await daemon.command('confirm');
  assert.equal(confirmed.code, 0, confirmed.stderr);
  assert.match(readFileSync(daemon.configFile, 'utf8'), /failover: /);

  daemon.writeConfig(`tunnels:\n${one}`);
  assert.equal((await daemon.command('reload')).code, 0);
  await isAt(first.port, 1);

  const history = await until(
    async () => {
      const { tunnels } = JSON.parse((await daemon.command('history', '--json')).stdout) as HistoryDocument;
      return tunnels[0]?.outages.length !== 0 && tunnels;
    },
    { what: 'the outage in the history' },
  );
  assert.deepEqual(
    history.map(({ name }) => name),
    ['backup'],
  );
});
