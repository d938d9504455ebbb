import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetDevice, FleetServer, TroubleCode } from '../../src/fleet/document.ts';
import { withStandby } from '../../src/fleet/standby.ts';

test('has a device on standby where it need not be, as long as another server has it', () => {
  const up = device('up');
  const down = device('down', 'down', 'promised-twice');
  const never = device('never', 'never-came');
  for (const [asked, wanted] of [
    [
      [up, down],
      ['up', 'standby promised-twice'],
    ],
    [
      [never, up],
      ['standby', 'up'],
    ],
    // The first has never had it, the second neither: it is down.
    [
      [never, down],
      ['never never-came', 'down down promised-twice'],
    ],
    [[down], ['down down promised-twice']],
    // It is to be at both.
    [
      [up, { ...down, failover: undefined }],
      ['up', 'down down promised-twice'],
    ],
    // One authority certifies two devices.
    [
      [{ ...up, device: 'other' }, down],
      ['up', 'down down promised-twice'],
    ],
    [
      [{ ...up, key: 'B' }, down],
      ['up', 'down down promised-twice'],
    ],
    [
      [up, device('held', 'held-by-stranger')],
      ['up', 'held held-by-stranger'],
    ],
  ] as const) {
    const servers = asked.map((one) => server([one as FleetDevice]));
    const seen = withStandby(servers).map(({ devices: [one] }) =>
      [one!.state, ...one!.troubles.map(({ code }) => code)].join(' '),
    );
    assert.deepEqual(seen, wanted);
  }
  const both = withStandby([server([up, down])]);
  assert.deepEqual(both[0]!.devices, [up, down]);
});

function device(state: FleetDevice['state'], ...codes: readonly TroubleCode[]): FleetDevice {
  const troubles = codes.map((code) => ({ code, message: code }));
  const nothing = { host: 'localhost', port: 8001, verified: 'unknown', visitors: 0 } as const;
  return { device: 'pi', user: 'pi', key: 'A', state, failover: true, ...nothing, troubles };
}

function server(devices: readonly FleetDevice[]): FleetServer {
  return { server: 'me@a:22', at: '', read: true, asRoot: true, problems: [], devices, hostKeys: [] };
}
