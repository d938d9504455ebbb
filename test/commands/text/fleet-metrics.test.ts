import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fleetMetrics } from '../../../src/commands/text/fleet-metrics.ts';
import type { FleetDevice } from '../../../src/fleet/document.ts';

test('prints each set of labels once when keys without a port, or a server, come twice', () => {
  const device: FleetDevice = {
    device: 'a "b" \\',
    user: 'u',
    host: null,
    port: null,
    state: 'unusable',
    verified: 'unknown',
    visitors: null,
    key: 'SHA256:x',
    troubles: [{ code: 'no-port', message: '' }],
  };
  const devices = [device, { ...device, key: 'SHA256:y' }];
  const server = { server: 's', at: '', read: true, asRoot: true, problems: [], hostKeys: [], devices };
  const samples = fleetMetrics([server, server])
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  assert.equal(new Set(samples).size, samples.length);
  assert.equal(samples[0], String.raw`tunneld_fleet_up{server="s",device="a \"b\" \\",user="u",port=""} 0`);
});
