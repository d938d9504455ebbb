import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { tempDir } from '../support/until.ts';

const repository = join(import.meta.dirname, '../..');

/** A Debian of another architecture, in which programs run; it shares this machine's network. */
export interface ArmRoot {
  /** Runs a command to its end and gives its standard output. Rejects where it fails, or takes longer than half an hour. */
  must(...command: readonly string[]): Promise<string>;
  start(...command: readonly string[]): ChildProcess;
  /** Copies a file of this machine into it. */
  put(file: string, inside: string): void;
}

/** The Debian of root.sh, and this project where it is, to be read; what is written goes with the test. */
export async function openRoot(t: TestContext, arch: string): Promise<ArmRoot> {
  const folder = execFileSync('sh', [join(import.meta.dirname, 'root.sh'), arch], { encoding: 'utf8' }).trim();
  const dir = await tempDir(t);
  const keeper = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', MOUNTS, 'sh', folder, dir, repository],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const ended = new Promise((resolve) => keeper.once('close', resolve));
  t.after(async () => {
    keeper.stdin.end();
    await ended;
  });
  await new Promise<void>((resolve, reject) => {
    createInterface(keeper.stdout).once('line', () => resolve());
    void ended.then((code) => reject(new Error(`the root for ${arch} could not be mounted: ${String(code)}`)));
  });
  const root = join(dir, 'root');
  const enter = ['--target', String(keeper.pid), '--mount', 'chroot', root, 'env', '-i', ...ENVIRONMENT];
  return {
    must: async (...command) =>
      (await promisify(execFile)('nsenter', [...enter, ...command], { timeout: LONGEST_MS, maxBuffer: 64 * 1024 ** 2 }))
        .stdout,
    start: (...command) => spawn('nsenter', [...enter, ...command], { stdio: ['ignore', 'ignore', 'pipe'] }),
    put: (file, path) => copyFileSync(file, join(`/proc/${keeper.pid}/root`, root, path)),
  };
}

const ENVIRONMENT = ['PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive'];
/** Until a command is taken for one that hangs. */
const LONGEST_MS = 1_800_000;

/** Ends, and takes the mounts along, when standard input does. */
const MOUNTS = `
mount -t tmpfs -o mode=755 arm "$2" && cd "$2" && mkdir upper work root &&
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" arm root &&
mount -t proc proc root/proc && mount --rbind /dev root/dev && mount -t tmpfs -o mode=1777 tmpfs root/tmp &&
mkdir -p "root$3" && mount --bind "$3" "root$3" && mount -o remount,bind,ro "root$3" || exit
echo ready
exec cat`;
