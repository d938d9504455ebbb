import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tunnelYaml } from '../../support/daemon-config.ts';
import { startEcho } from '../../support/echo.ts';
import { startSshd } from '../../support/sshd.ts';
import { PROGRAM } from '../../support/tunneld.ts';
import { freePort, tempDir, until } from '../../support/until.ts';
import { visit } from '../../support/visit.ts';

test('leaves nothing of a visit that only a full garbage collection would take', async (t) => {
  const sshd = await startSshd();
  t.after(() => sshd.stop());
  const echo = await startEcho();
  t.after(() => echo.close());
  const port = await freePort();
  const dir = await tempDir(t);
  writeFileSync(
    join(dir, 'config.yaml'),
    `tunnels:
${tunnelYaml(sshd, 'visited', `"${port}:127.0.0.1:${echo.port}"`)}network: { ping: [] }
log: { level: warn }
control: { socket: ${join(dir, 'control.sock')} }
stateDirectory: ${dir}
`,
  );
  // As on a device that has few visitors, whose code is never optimized. The node:test of this process would keep promises for longer.
  const flags = ['--no-opt', '--trace-gc'];
  const daemon = spawn(process.execPath, [...flags, ...PROGRAM, 'run', '--config', join(dir, 'config.yaml')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let trace = '';
  daemon.stdout.on('data', (text) => (trace += String(text)));
  t.after(async () => {
    daemon.kill();
    await once(daemon, 'exit');
  });
  const visits = async (count: number) => {
    for (let i = 0; i < count; i += AT_ONCE)
      await Promise.all(Array.from({ length: AT_ONCE }, async () => assert.equal(await visit(port, 'hello'), 'hello')));
  };
  await until(async () => (await visit(port, 'hello').catch(() => '')) === 'hello', { what: 'the tunnel' });
  await visits(500);
  let begin = trace.length;
  let made = 0;
  await until(
    async () => {
      await visits(500);
      made += 500;
      // One that the start has begun may end in between, and is no part of the measurement.
      if (trace.includes('Mark-Compact', begin)) [begin, made] = [trace.length, 0];
      return scavenges(trace.slice(begin)).length > 6;
    },
    { what: 'some collections' },
  );
  const [first, ...rest] = scavenges(trace.slice(begin));
  const each = ((rest.at(-1)!.after - first!.after) * 1e6) / made;
  // A visit that is kept is seven kilobytes and more.
  assert.ok(each < 2000, `${each} bytes of each of ${made} visits`);
});

/** Several, so that what lists them moves again and again. */
const AT_ONCE = 20;

/** Of the main thread, the last to have collected: MB before and after each. */
function scavenges(trace: string): readonly { readonly before: number; readonly after: number }[] {
  const all = [...trace.matchAll(/^\[\d+:(0x\w+)\].*: Scavenge ([\d.]+) \([\d.]+\) -> ([\d.]+)/gm)];
  const main = all.at(-1)?.[1];
  return all
    .filter(([, isolate]) => isolate === main)
    .map(([, , before, after]) => ({ before: Number(before), after: Number(after) }));
}
