import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { mayBuildNetworks } from '../../../lab/lab-test.ts';
import { separately } from '../../../support/separately.ts';
import { tempDir } from '../../../support/until.ts';

interface Point {
  readonly after: 'killed' | 'power';
  readonly hasService: boolean;
  /** What it was about to do, or had just done. */
  readonly at: string;
  /** What ran when it was killed and its unit had ended; null after a loss of power. */
  readonly now: Ways | null;
  readonly left: readonly string[];
  /** What runs after a start of the machine. */
  readonly booted: Ways;
  readonly isLineKept: boolean;
  /** After the same command again. */
  readonly last: Ways & {
    readonly enabled: boolean;
    readonly keepers: readonly string[];
    readonly left: readonly string[];
  };
}

interface Ways {
  readonly old: boolean;
  readonly new: boolean;
}

test('has either the old tunnel or the new one wherever a takeover is killed, at least one where it loses power, and goes on when it is run again', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const dir = await tempDir(t);
  const mounts = `mount -t proc none /proc && cp -a /etc/passwd /etc/group /etc/nsswitch.conf "$0" && mount -t tmpfs none /run && mount --bind "$0" /etc && exec "$@"`;
  const { node, file } = separately('test/commands/setup/init/take-over-killed.ts');
  const { stdout, stderr, status } = spawnSync(
    'unshare',
    ['--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private', 'sh', '-c', mounts, dir, ...node, file],
    { encoding: 'utf8', cwd: fileURLToPath(new URL('../../../..', import.meta.url)), maxBuffer: 16 * 1024 * 1024 },
  );
  assert.equal(status, 0, stderr);
  const points = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Point);
  for (const point of points) {
    const { now, left, booted, isLineKept, last } = point;
    const what = JSON.stringify(point);
    if (now !== null) {
      // Both want the same ports: then one of them, and the same one after a start of the machine.
      assert.notEqual(now.old, now.new, what);
      assert.deepEqual({ ...booted, isLineKept }, { ...now, isLineKept: now.old }, what);
    }
    assert.deepEqual(left, [], what);
    assert.ok((booted.old && isLineKept) || booted.new, what);
    assert.deepEqual(last, { old: false, new: true, enabled: true, keepers: [], left: [] }, what);
  }
  // Each of the four tables went through all of it: what is done first, the stop of the old, the proof, and the end.
  for (const hasService of [false, true])
    for (const after of ['killed', 'power']) {
      const done = points.filter((point) => point.hasService === hasService && point.after === after);
      const steps = done.map(({ at }) => at).join('\n');
      for (const step of ['stop home', 'stop out', hasService ? 'confirm' : 'restart tunnel', 'disable out'])
        assert.ok(steps.includes(step), `${step}: ${steps}`);
    }
});
