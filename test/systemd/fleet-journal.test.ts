import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { readFacts } from '../../src/fleet/facts.ts';
import { FLEET_SCRIPT } from '../../src/fleet/script.ts';
import { bootSystemd } from '../support/systemd-box.ts';

test("fleet reads the last login or logout from the journal when there is no file of sshd's log", async (t) => {
  const box = await bootSystemd(t);
  if (box === null) return;
  const keys = box.path('/etc/ssh/authorized_keys.d');
  rmSync(keys, { recursive: true, force: true });
  mkdirSync(keys, { recursive: true });
  writeFileSync(`${keys}/pi01`, 'restrict,permitlisten="localhost:8001" ssh-ed25519 AAAA tunneld relay of attic\n');
  const begun = Date.now();
  for (const [program, line] of [
    ['sshd', 'Server listening on 0.0.0.0 port 22.'],
    ['sshd', 'Accepted publickey for pi01 from 192.0.2.7 port 1 ssh2: ED25519 SHA256:x'],
    ['sshd-session', 'Disconnected from user pi02 192.0.2.8 port 2'],
    ['sshd', 'Invalid user Accepted publickey for pi03 from 192.0.2.9 port 3'],
    ['other', 'Accepted publickey for pi04 from 192.0.2.9 port 3 ssh2'],
  ] as const)
    await box.must('logger', '-t', program, '--id=77', line);
  await box.must('journalctl', '--sync');

  writeFileSync(box.path('/root/script'), FLEET_SCRIPT);
  const { seenMs, listeningMs, logBeginsMs } = readFacts(await box.must('sh', '/root/script'))!;
  assert.deepEqual([...seenMs.keys()].toSorted(), ['pi01', 'pi02']);
  const times = [logBeginsMs!, ...listeningMs, ...seenMs.values()];
  assert.equal(times.length, 4);
  for (const ms of times) assert.ok(ms >= begun && ms <= Date.now(), `${ms} after ${begun}`);
});
