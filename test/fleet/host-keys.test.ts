import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetDevice } from '../../src/fleet/document.ts';
import { readFacts } from '../../src/fleet/facts.ts';
import { hostKeysOf } from '../../src/fleet/host-keys.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIK/X7oTrGab1v2eGMiIi7Komz1hcckjDWErvXg264t5';

/** Minutes of an hour. */
const at = (minute: number) => new Date(Date.UTC(2026, 0, 2, 12, minute));

test('finds the devices that were logged in before sshd offered a host key, or have not been seen since', () => {
  const facts = (made: number, ...listening: number[]) => ofFile('/etc/ssh/ssh_host_ed25519_key', made, ...listening);
  const ofFile = (file: string, made: number, ...listening: number[]) =>
    readFacts(
      [
        `now\t${at(59).getTime() / 1000}`,
        `log\t${at(0).toISOString()}`,
        `hostkey\t${at(made).getTime() / 1000}\t${KEY}\t${file}`,
        ...listening.map((minute) => `listening\t${at(minute).toISOString()}`),
        `made\tabsent\t${at(10).getTime() / 1000}`,
        'end\t',
      ].join('\n'),
    )!;
  const devices = [
    device('before', 'up', { since: at(5).toISOString() }),
    device('between', 'up', { since: at(25).toISOString() }),
    device('after', 'up', { since: at(40).toISOString() }),
    device('seen', 'down', { lastSeen: at(35).toISOString() }),
    device('lost', 'down', { lastSeen: at(1).toISOString() }),
    device('absent', 'down', {}),
    device('never', 'never', {}),
  ];
  const untold = (made: number, ...listening: number[]) =>
    hostKeysOf(facts(made, ...listening), devices)[0]?.notAnnouncedTo;
  assert.deepEqual(untold(20, 2, 30, 50), ['before', 'between', 'lost', 'absent']);
  // sshd has not read its files since.
  assert.deepEqual(untold(45, 2, 30), ['before', 'between', 'after', 'seen', 'lost', 'absent']);
  // Its own key of old.
  assert.deepEqual(untold(-60, 2), []);
  // Devices may have pinned it without the server's knowledge.
  assert.equal(hostKeysOf(facts(20), devices)[0]!.spare, undefined);
  assert.equal(hostKeysOf(ofFile('/etc/ssh/ssh_host_ed25519_spare_key', 20), devices)[0]!.spare, true);
  assert.match(hostKeysOf(facts(20, 30), devices)[0]!.offeredSince!, /T12:30:00/);
  assert.equal(hostKeysOf(facts(20), devices)[0]!.offeredSince, undefined);
});

function device(user: string, state: FleetDevice['state'], times: Partial<FleetDevice>): FleetDevice {
  const nothing = { host: 'localhost', port: 1, verified: 'unknown', visitors: 0, key: '', troubles: [] } as const;
  return { device: user, user, state, ...nothing, ...times };
}
