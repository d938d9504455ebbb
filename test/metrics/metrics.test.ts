import assert from 'node:assert/strict';
import test from 'node:test';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { downTunnel, statusOf, upTunnel } from '../support/status.ts';

test('says of a tunnel with several servers which of them is to have it, and counts the one on standby as no outage', async () => {
  const servers = { tunnel: 'backup', mode: 'failover' } as const;
  const text = await createMetrics('prometheus')(() =>
    statusOf([
      upTunnel('backup', { server: 'a@one:22', servers }),
      downTunnel('backup@two', { phase: 'stopped', server: 'a@two:22', servers: { ...servers, standby: true } }),
      upTunnel('single'),
    ]),
  );
  const rowsOf = (name: string) => text.split('\n').filter((line) => line.startsWith(`${name}{`));
  assert.deepEqual(rowsOf('tunneld_tunnel_server'), [
    'tunneld_tunnel_server{tunnel="backup",server="a@one:22",of="backup"} 1',
    'tunneld_tunnel_server{tunnel="backup@two",server="a@two:22",of="backup"} 0',
  ]);
  assert.deepEqual(rowsOf('tunneld_tunnel_up'), [
    'tunneld_tunnel_up{tunnel="backup"} 1',
    'tunneld_tunnel_up{tunnel="single"} 1',
  ]);
});
