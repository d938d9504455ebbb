import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cachedDataVersionTag } from 'node:v8';
import { describesThisProcess, keepIdleMemorySmall, thisProcess } from '../../src/host/idle-memory.ts';

/** Looks twice a minute at a process that has the given MiB, and tells at which looks memory was given back. */
function releasesAt(
  looks: readonly { readonly mib: number; readonly cpuMs?: number; readonly ms?: number }[],
): number[] {
  const at: number[] = [];
  const world = { now: 0, cpu: 0, mib: 0, look: 0 };
  const look = keepIdleMemorySmall({
    now: () => world.now,
    cpuMs: () => world.cpu,
    residentBytes: () => world.mib * 1024 * 1024,
    release: () => at.push(world.look),
  });
  for (const { mib, cpuMs = 30, ms = 30_000 } of looks) {
    Object.assign(world, { now: world.now + ms, cpu: world.cpu + cpuMs, mib });
    look?.();
    world.look += 1;
  }
  return at;
}

test('gives memory back once after the start, and again when an idle process has more than it came back to', () => {
  assert.deepEqual(releasesAt([{ mib: 61 }, { mib: 41 }, { mib: 41 }, { mib: 44 }, { mib: 46 }, { mib: 41 }]), [0, 4]);
});

test('gives nothing back while the process works, and what a load has left at the first look after it', () => {
  const load = { mib: 90, cpuMs: 20_000 };
  assert.deepEqual(releasesAt([load, load, { mib: 90 }, { mib: 45 }, { mib: 45 }, load, { mib: 90 }]), [2, 6]);
  // Also where the load came before it was seen what the idle process needs.
  assert.deepEqual(releasesAt([{ mib: 61 }, load, { mib: 90 }, { mib: 45 }, { mib: 45 }]), [0, 2]);
});

test('takes no burst of looks for idleness', () => {
  assert.deepEqual(releasesAt([{ mib: 61, cpuMs: 0, ms: 50 }, { mib: 61, cpuMs: 0, ms: 50 }, { mib: 61 }]), [2]);
});

test('collects garbage before memory is given back, and leaves the flags of V8 as they were', async () => {
  const { release, residentBytes } = thisProcess()!;
  const flags = cachedDataVersionTag();
  for (let round = 0; round < 2; round++) {
    const ref = new WeakRef({});
    await setImmediate(); // until then it is kept
    release();
    assert.equal(ref.deref(), undefined);
    assert.equal(cachedDataVersionTag(), flags);
  }
  assert.ok(residentBytes() > 0);
});

/** In a process of its own, which has the memory that is measured. */
function inProcess(flags: readonly string[], program: string): unknown {
  const addon = fileURLToPath(
    new URL(`../../packaging/native/prebuilt/${process.platform}-${process.arch}.node`, import.meta.url),
  );
  const text = `const { releaseMemory } = require(${JSON.stringify(addon)});${program}`;
  return JSON.parse(execFileSync(process.execPath, [...flags, '-e', text], { encoding: 'utf8' }));
}

const WORK = `
  const work = () => require('node:crypto').createHash('sha256').update(JSON.stringify([new Intl.NumberFormat('de').format(1234.5)])).digest('hex');
`;

test('gives the pages of Node.js back, which then works on', () => {
  const { before, after, same } = inProcess(
    [],
    `${WORK}
    const first = work();
    const before = process.memoryUsage.rss();
    releaseMemory();
    const after = process.memoryUsage.rss();
    let same = first === work();
    // Also when another thread runs through them.
    new (require('node:worker_threads').Worker)('for (let i = 0; i < 100000; i++) JSON.stringify([i])', { eval: true }).on('exit', (code) => {
      same &&= code === 0;
      console.log(JSON.stringify({ before, after, same }));
    });
    for (let i = 0; i < 50; i++) releaseMemory();`,
  ) as Record<'before' | 'after', number> & { same: boolean };
  assert.ok(after < before - 10 * 1024 * 1024, `${before} to ${after} bytes`);
  assert.equal(same, true);
});

test('leaves what the process has in place of its files: code that was moved into huge pages', () => {
  const answer = inProcess(
    ['--use-largepages=silent'],
    `${WORK} releaseMemory(); console.log(JSON.stringify(work()));`,
  );
  assert.match(String(answer), /^[0-9a-f]{64}$/);
});

test('gives no pages back where an emulator describes another process, or counts nothing', () => {
  const line = (start: string, perms = 'r-xp') =>
    `${start}000-3f7a1000 ${perms} 00000000 fe:00 16072346   /usr/lib/libc.so.6\n`;
  const counts = (kib: number) => `Rss:                 100 kB\nAnonymous:           ${kib} kB\n`;
  const maps = line('3f690');
  assert.equal(describesThisProcess(maps, line('3f690') + counts(0) + line('3f7b0', 'rw-p') + counts(8)), true);
  // Qemu 7.2 shows arm the addresses of its own process, and arm64 the rights, with which nothing runs.
  assert.equal(describesThisProcess(maps, line('3f691') + counts(0) + line('3f7b1', 'rw-p') + counts(8)), false);
  assert.equal(
    describesThisProcess(maps, line('3f690', 'r--p') + counts(0) + line('3f7b0', 'rw-p') + counts(8)),
    false,
  );
  // Later ones make it up.
  assert.equal(describesThisProcess(maps, line('3f690') + counts(0) + line('3f7b0', 'rw-p') + counts(0)), false);
  assert.equal(describesThisProcess(null, null), false);
  if (process.platform === 'linux')
    assert.equal(
      describesThisProcess(readFileSync('/proc/self/maps', 'utf8'), readFileSync('/proc/self/smaps', 'utf8')),
      true,
    );
});
