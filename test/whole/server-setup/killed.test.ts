import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
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
    const undone = async (after: string) => {
      await works(undoing);
      assert.deepEqual(world.snapshot(), before, after);
    };
    let kills = 0;
    let last: State | null = null;
    let undoingStep: number | null = 1;
    for (let step = 1; ; step += 1) {
      const reloads = reloadsOf(world);
      if (!killedAt(world, script, step)) break;
      kills += 1;
      const left = await stateLeftBy(world, reloads);
      await undone(`after step ${step}, undone`);
      // What the step only looked at makes no difference to the next run.
      if (isDeepStrictEqual(left, last)) continue;
      last = left;
      killedAt(world, script, step);
      await works(script);
      assert.equal(forwards(world, LISTENER), 'granted', `after step ${step}`);
      if (undoingStep !== null && killedAt(world, undoing, undoingStep)) undoingStep += 1;
      else undoingStep = null;
      await undone(`after step ${step}, finished`);
    }
    for (; undoingStep !== null; undoingStep += 1) {
      await works(script);
      if (!killedAt(world, undoing, undoingStep)) break;
      await undone(`after step ${undoingStep} of undoing`);
    }
    assert.ok(kills > 10, String(kills));
  });
}

test('has on the disk what an undo would put back before it changes the configuration of sshd', async (t) => {
  if (!mayBuildNetworks(t)) return;
  const world = await startServerWorld(t, { config: 'X11Forwarding yes', prepare: 'mkdir -p /run/bin' });
  await untilListening(world);
  const text = '#!/bin/sh\necho "$@" >>/run/synced\nexec /bin/sync "$@"\n';
  world.run(['sh', '-c', 'cat >"$0" && chmod +x "$0"', '/run/bin/sync'], text);
  const script = await printed(world, ['server-setup']);
  const ran = world.run(['sh', '-c', 'PATH=/run/bin:/run/fast:$PATH exec sh'], script);
  assert.equal(ran.code, 0, ran.stderr);
  const synced = world.run(['cat', '/run/synced']).stdout.trimEnd().split('\n');
  assert.match(synced.at(-2)!, /\/sshd_config\.without \S+\/sshd_config\.with$/);
  assert.equal(synced.at(-1), '/etc/ssh/sshd_config.tunneld-new');
});

interface State {
  readonly files: Readonly<Record<string, string>>;
  readonly reloads: number;
}

/** The files, though not which key became the spare one, and how often sshd has read its own since there were so many `reloads`. */
async function stateLeftBy(world: ServerWorld, reloads: number): Promise<State> {
  await untilListening(world);
  const files = Object.entries(world.snapshot()).map(([path, seen]): [string, string] =>
    path.startsWith(SPARE) ? [path.replace(/\.\d+/, '.draft'), seen.replace(/ \w+$/, '')] : [path, seen],
  );
  return { files: Object.fromEntries(files), reloads: reloadsOf(world) - reloads };
}

const SPARE = '/etc/ssh/ssh_host_ed25519_spare_key';

function reloadsOf(world: ServerWorld): number {
  return world.sshdLog().match(/Received SIGHUP/g)?.length ?? 0;
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
