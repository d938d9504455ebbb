import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { assess } from '../../src/fleet/assess.ts';
import { readFacts } from '../../src/fleet/facts.ts';
import { readRegisteredKey } from '../../src/fleet/register.ts';
import { FLEET_SCRIPT } from '../../src/fleet/script.ts';
import { printable } from '../../src/lib/text.ts';
import { keyedLine } from './lines.ts';

const NOW = Date.UTC(2026, 0, 2, 12) / 1000;

test('runs its script as any user of this machine, whose answer is whole', () => {
  const facts = readFacts(execFileSync('sh', ['-s'], { input: FLEET_SCRIPT, encoding: 'utf8' }));
  assert.ok(facts !== null);
  assert.ok(facts.processes.has(process.pid));
});

test('reads a line of the register in all its forms, and lets nothing of it reach a terminal raw', () => {
  const line = keyedLine(
    'permitlisten="localhost:8080",permitlisten="[::1]:8081",permitlisten="8082",permitlisten="*:*"',
    'tunneld relay of attic',
  );
  const key = readRegisteredKey('pi', line)!;
  assert.deepEqual(key.listens, [
    { host: 'localhost', port: 8080 },
    { host: '[::1]', port: 8081 },
    { host: '*', port: 8082 },
  ]);
  assert.equal(key.device, 'attic');
  assert.equal(readRegisteredKey('pi', keyedLine('', '\u001b[31mred'))!.device, '\\x1b[31mred');
  assert.equal(readRegisteredKey('pi', keyedLine('', ''))!.device, 'pi');
  const recorded = readRegisteredKey('pi', keyedLine('', `a key host-key:8080=SHA256:${'a'.repeat(43)}`))!;
  assert.deepEqual([recorded.hostKey?.port, recorded.comment], [8080, 'a key']);
  const failsOver = readRegisteredKey(
    'pi',
    keyedLine('', `tunneld a of b servers:failover host-key:1=SHA256:${'a'.repeat(43)}`),
  )!;
  assert.deepEqual([recorded.failsOver, failsOver.failsOver, failsOver.device], [false, true, 'b']);
  const nameless = readRegisteredKey('pi', keyedLine('', `servers:failover host-key:1=SHA256:${'a'.repeat(43)}`))!;
  assert.deepEqual([nameless.failsOver, nameless.comment, nameless.device], [true, '', 'pi']);
  assert.equal(readRegisteredKey('pi', 'no key at all'), null);
  // As long as a line may be; what takes the square of its length is the square of that.
  const begun = process.cpuUsage();
  for (let i = 0; i < 20; i++) readRegisteredKey('pi', keyedLine('', `a${' '.repeat(8000)}b`));
  assert.ok(process.cpuUsage(begun).user < 1_000_000);
});

test("reads times as logs have them, and as last year's when the day is in the future", () => {
  const seen = (time: string) => readFacts(`now\t${NOW}\nseen\tpi\t${time}\nend\t`)!.seenMs.get('pi');
  assert.equal(seen('1767000000.5'), 1_767_000_000_500);
  assert.equal(seen('2025-12-31T23:00:00+01:00'), Date.UTC(2025, 11, 31, 22));
  assert.equal(seen('Jan  2 11:00:00'), Date.UTC(2026, 0, 2, 11));
  assert.equal(seen('Dec 31 11:00:00'), Date.UTC(2025, 11, 31, 11));
  assert.equal(seen('nonsense'), undefined);
  assert.equal(seen('99999999999999999999'), undefined);
  assert.equal(readFacts('now\t1\n'), null);
  assert.deepEqual(readFacts(`now\t${NOW}\nhostkey\t1e300\tssh-ed25519 AAAA\nend\t`)!.hostKeys, []);
  assert.equal(readFacts('now\tnever\nend\t'), null);
  assert.equal(readFacts(`now\t${NOW}\nprocess\t1\t0\t1e300\tsshd\nend\t`)!.processes.size, 0);
});

test('knows the owners of a port when one of them has the name of an owner', () => {
  const owners = (text: string) => readFacts(`now\t${NOW}\nlisten\t[::1]:80\t${text}\nend\t`)!.listeners[0]!;
  assert.deepEqual(owners('users:(("sshd",pid=1,fd=4),("a",pid=2,fd=4))').pids, [1, 2]);
  assert.deepEqual(owners('users:(("",pid=1,fd=4),("",pid=2,fd=4))').pids, [1, 2]);
  for (const name of ['",pid=42', '",pid=42,fd=5)', '("sshd",pid=42'])
    assert.deepEqual(owners(`users:(("${name}",pid=7,fd=3))`), {
      host: '::1',
      port: 80,
      pids: [7],
      program: printable(name),
    });
});

test('names another program when it has one address of a port and the device the other', () => {
  const facts = readFacts(
    [
      'uid\t0',
      `now\t${NOW}`,
      `key\tpi\t${keyedLine('permitlisten="localhost:8080"', 'pi')}`,
      'user\tpi\t1001',
      'listen\t127.0.0.1:8080\tusers:(("nc",pid=7,fd=3))',
      'listen\t[::1]:8080\tusers:(("sshd",pid=8,fd=9),("sshd",pid=9,fd=9))',
      'process\t7\t0\t5\tnc',
      'process\t8\t0\t5\tsshd',
      'process\t9\t1001\t5\tsshd',
      'end\t',
    ].join('\n'),
  )!;
  const [device] = assess(facts);
  assert.equal(device?.state, 'up');
  assert.deepEqual(device?.troubles, [
    { code: 'held-by-stranger', message: 'port 8080 at 127.0.0.1 is held by nc (process 7)' },
  ]);
});
