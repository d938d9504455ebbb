import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayBuildNetworks } from '../../lab/lab-test.ts';
import { startServerWorld, type ServerWorld } from '../../support/server-world.ts';
import { forwards, printed, runScript, untilListening } from './fixture.ts';

const LISTENER = '8080:localhost:2022';

/** Programs behind which the script is killed: every change that it makes is between two of them. */
const STEPS = ['useradd', 'userdel', 'mkdir', 'mv', 'rm', 'sshd', 'ssh-keygen', 'ln'];

for (const config of ['Include /etc/ssh/sshd_config.d/*\n', 'X11Forwarding yes']) {
  test(`is finished or undone by the next run when it is killed at any step: ${JSON.stringify(config)}`, async (t) => {
    if (!mayBuildNetworks(t)) return;
    const world = await startServerWorld(t, { config, prepare: 'mkdir -p /run/bin' });
    await untilListening(world);
    for (const name of STEPS) installKiller(world, name);
    const [script, undoing] = [
      await printed(world, ['server-setup', '--spare-host-key']),
      await printed(world, ['server-setup', '--undo']),
    ];
    const before = world.snapshot();
    const works = async (text: string) => {
      const { code, stdout, stderr } = runScript(world, text);
      assert.equal(code, 0, stderr + stdout);
      await untilListening(world);
    };
    let kills = 0;
    for (let step = 1; killedAt(world, script, step); step += 1) {
      kills += 1;
      await works(script);
      assert.equal(forwards(world, LISTENER), 'granted', `after step ${step}`);
      if (killedAt(world, undoing, step)) kills += 1;
      await works(undoing);
      assert.deepEqual(world.snapshot(), before, `after step ${step}`);
      killedAt(world, script, step);
      await works(undoing);
      assert.deepEqual(world.snapshot(), before, `after step ${step}`);
    }
    assert.ok(kills > 10, String(kills));
  });
}

/** It does its work, counts down, and kills the script where that comes to nothing. */
function installKiller(world: ServerWorld, name: string): void {
  const text = `#!/bin/sh
PATH=\${PATH#/run/bin:/run/fast:}
${name} "$@"
code=$?
left=$(($(cat /run/steps) - 1))
echo "$left" >/run/steps
[ "$left" != 0 ] || kill -KILL "$(cat /run/script.pid)"
exit "$code"
`;
  world.run(['sh', '-c', 'cat >"$0" && chmod +x "$0"', `/run/bin/${name}`], text);
}

/** Whether the script was killed: false where it has fewer steps. */
function killedAt(world: ServerWorld, script: string, step: number): boolean {
  const command = 'echo "$0" >/run/steps; PATH=/run/bin:/run/fast:$PATH; sh -c \'echo $$ >/run/script.pid; exec sh\'';
  world.run(['sh', '-c', command, String(step)], script);
  return Number(world.run(['cat', '/run/steps']).stdout) <= 0;
}
