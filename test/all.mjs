// All of `npm test`: installs the packages, looks for the programs that the tests drive, builds, compiles the tests and runs everything. What
// needs nothing of each other is done at the same time, since each leaves a processor idle. The first step that fails ends all others, and so
// does a signal: nothing goes on running.
import { spawn, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** So long, in milliseconds, a step may take to leave things in order that is told to end: apt-get, above all. */
const GRACE_MS = 20_000;
const POLL_MS = 50;

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * For temporary files. Where the sources ($0) lie among them, they keep their place: -c, for mount(8) is to leave the working directory, which
 * is out of sight by then, without another name.
 */
const TMP_IN_MEMORY = `
if mount -t tmpfs -o mode=1777 tmpfs /tmp; then
  case $0 in /tmp/*) mkdir -p "$0" && mount -c --bind . "$0" && cd "$0" ;; esac
fi
`;

/** Those who lead a process group of their own, which is ended with all that they have started. */
const leaders = new Set();
let isEnding = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    if (isEnding) return;
    void endAll().then(() => process.removeAllListeners(signal).kill(process.pid, signal));
  });
try {
  const packages = run('npm', 'run', '-s', 'setup');
  const scripts = [['packaging/build.mjs', '--cache'], ['packaging/documents.mjs'], ['test/compile.mjs']];
  await Promise.all([
    run('sh', 'test/support/prepare.sh'),
    packages.then(() => Promise.all(scripts.map((script) => run(process.execPath, ...script)))),
  ]);
  const tests = 'node_modules/.cache/tunneld-tests/test/run.js';
  await run(...ownProcesses(), process.execPath, '--enable-source-maps', tests, 'npm', 'run', '-s', 'static');
} catch (error) {
  const bySignal = isEnding;
  await endAll();
  process.exitCode = 1;
  if (!bySignal) console.error(error.message);
}

/** Resolves when it has ended well. */
function run(program, ...args) {
  if (isEnding) return new Promise(() => {});
  const child = spawn(program, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  leaders.add(child.pid);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) resolve(leaders.delete(child.pid));
      else reject(new Error(`${[program, ...args].join(' ')} failed with ${code ?? signal}`));
    });
  });
}

async function endAll() {
  isEnding = true;
  const left = () => [...leaders].filter((leader) => signalGroup(leader, 0));
  for (const leader of left()) signalGroup(leader, 'SIGTERM');
  for (const end = performance.now() + GRACE_MS; left().length > 0 && performance.now() < end;) await wait(POLL_MS);
  for (const leader of left()) signalGroup(leader, 'SIGKILL');
}

/** Whether there was somebody to signal. */
function signalGroup(leader, signal) {
  try {
    return process.kill(-leader, signal);
  } catch {
    return false;
  }
}

/**
 * For the tests, where this may be: a process namespace. The kernel ends all that is left in it when its first process ends, whatever session
 * a test has put it into; that one is a shell, which takes notice of those whose parents are gone. Their temporary files are in memory, and gone
 * with it: tests make and remove them by the ten thousand, which a disk's file system takes its time for.
 */
function ownProcesses() {
  const own = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const isPermitted = spawnSync(own[0], [...own.slice(1), 'true'], { stdio: 'ignore' }).status === 0;
  return isPermitted ? [...own, 'sh', '-c', `${tmpdir() === '/tmp' ? TMP_IN_MEMORY : ''}"$@" & wait "$!"`, root] : [];
}
