import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec, tap } from 'node:test/reporters';
import { inspect } from 'node:util';

/**
 * Those that take longest, which come first: else the last of them runs alone while the other processors have nothing to do. Those that may
 * share processes do, a long one with two shorter ones.
 */
const LONGEST = [
  'whole/server-setup/killed',
  'whole/daemon/apply',
  'lab/quick',
  'commands/checks/audit-via',
  'systemd/refusals',
  'whole/nodes/node-24',
  'whole/commands/init-via',
  'whole/nodes/node-22',
  'packaging/deb',
  'systemd/install',
  'whole/commands/command-lines',
  'systemd/service',
  'whole/server-setup/sshd-config',
  'systemd/takeover',
  'commands/setup/init/from-launchd',
  'whole/tunnel/real-programs',
  'whole/daemon/hostile-memory',
  'commands/setup/init/init',
  'whole/daemon/starts-anyway',
  'connection/route/route',
  'whole/commands/fleet',
  'whole/page/browser',
  'whole/tunnel/another-device',
  'whole/commands/init-faults',
  'whole/server-setup/set-up-and-undo',
  'whole/tunnel/many',
  'audit/audit',
  'whole/daemon/trial-races',
  'whole/doctor/cures',
  'whole/tunnel/pairs',
  'whole/tunnel/aborts',
  'commands/service/install-launchd',
  'whole/tunnel/data-path',
  'whole/tunnel/verify',
  'connection/known-hosts/host-key-verifier',
  'commands/daemon/status',
  'daemon/retries',
  'whole/daemon/suspects',
  'whole/tunnel/hostile-server',
  'whole/tunnel/restrictions',
  'packaging/deb-build',
  'whole/tunnel/gateway-ports',
  'whole/server-setup/keeps-tunnel',
  'whole/tunnel/close-after-data',
  'connection/ssh/idle-ends',
  'tunnel/tunnel',
  'whole/audit/server-setup',
  'connection/shared/shared-connection',
  'tunnel/local-needs',
  'tunnel/session',
  'whole/daemon/signals',
  // Of those that start no programs.
  'supervisor/suspects',
  'net/open-racing',
  'config/load-in-thread',
  'lib/async/run-in-worker',
];

/** Some of them wait for others most of the time: with fewer at once a sixth of the processors' time was left. */
const AT_ONCE = 3 * availableParallelism() + 1;

/** In so many processes run those that start no programs, for each is a quarter of a second of a processor before its first test. */
const TOGETHER = 4 * availableParallelism();

/** And in so many those that start some, which wait more. */
const TOGETHER_WITH_PROGRAMS = 5 * availableParallelism();

/** And in so many those of LONGEST. */
const LONGEST_TOGETHER = 6 * availableParallelism();

/** After this, in milliseconds, a file is taken for one that hangs. */
const HANGS_MS = 600_000;

/** Where compile.mjs has put what it made of the sources. */
const COMPILED = join(import.meta.dirname, '../node_modules/.cache/tunneld-tests/test');

function sourceOf(name: string): string {
  return join(import.meta.dirname, `${name}.test.ts`);
}

/** Whether a test, or a helper that it takes, may start programs: those that do not need neither sshd nor root, and are quick. */
function startsProcesses(file: string): boolean {
  const text = readFileSync(file, 'utf8');
  const imported = [
    ...text.matchAll(/^(?:import|export|\}).*from '([^']+)';$/gm),
    ...text.matchAll(/^(?:const .* = )?await import\('([^']+)'\);$/gm),
  ].map(([, specifier]) => specifier!);
  return imported.some((specifier) =>
    specifier.startsWith('.')
      ? !specifier.includes('/src/') && startsProcesses(join(dirname(file), specifier))
      : specifier === 'node:child_process',
  );
}

/**
 * Whether it needs a process of its own: what it says for all its tests would be said for those of other files, too (what is done after them
 * is done once, when all are over), or it measures its process, in which they would be part of the result.
 */
function isAlone(name: string): boolean {
  const text = readFileSync(sourceOf(name), 'utf8');
  return ALONE.includes(name) || /^(?:before|beforeEach|afterEach)\(/m.test(text) || MEASURES.test(text);
}

/**
 * They ask what their process has loaded, or which file it was started with, or a helper says what is for all their tests; or they have
 * passwords with a word of messages, which is masked there from then on.
 */
const ALONE = [
  'packaging/ssh2-replacements',
  'whole/tunnel/sealing',
  'whole/nodes/node-22',
  'whole/nodes/node-24',
  'connection/route/route',
  'whole/tunnel/blocked',
];

const MEASURES =
  /\b(?:memoryUsage|cpuUsage|getActiveResourcesInfo)\(|process\.dlopen|\/proc\/self\/fd|'warning'|\/loop-delay\.ts'/;

/** Makes so many files of those that are compiled, and gives their paths. */
function shared(names: readonly string[], what: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const file = join(COMPILED, `${what}-${index}.js`);
    const own = names.filter((_name, place) => place % count === index);
    writeFileSync(file, own.map((name) => `import './${name}.test.js';\n`).join(''));
    return file;
  });
}

/** Of the two in turn, as evenly as their numbers allow. */
function mixed(some: readonly string[], others: readonly string[]): readonly string[] {
  const placed = [some, others].flatMap((list) =>
    list.map((name, index) => ({ name, at: (index + 0.5) / list.length })),
  );
  return placed.toSorted((a, b) => a.at - b.at).map(({ name }) => name);
}

/** A command that runs beside the tests, which leave the processors some time: it fails them all, and says at the end what it said. */
function runBeside([name, ...args]: readonly string[]): void {
  if (name === undefined) return;
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += String(text)));
  const end = (code: number | string | null) => {
    if (code === 0) return;
    process.exitCode = 1;
    process.once('exit', () => console.error(`${said}${[name, ...args].join(' ')} failed with ${code}`));
  };
  child.once('error', (error) => end(error.message));
  child.once('close', end);
}

/** How much of a failure is said again at the end, in characters. */
const SAID_AGAIN = 1_500;
const failures: string[] = [];

/** Fails the run, and says what failed once more in its last lines, since of a long output often only those are kept. */
function reportAtTheEnd({ name, file, details }: TestFailure): void {
  process.exitCode = 1;
  const { cause, failureType } = details.error;
  if (failureType === 'subtestsFailed') return;
  const what = inspect(cause ?? details.error).slice(0, SAID_AGAIN);
  if (failures.push(`failed: ${name} (${file})\n${what}`) > 1) return;
  process.once('exit', () => console.error(`\n${failures.join('\n\n')}`));
}

interface TestFailure {
  readonly name: string;
  readonly file?: string | undefined;
  /** https://nodejs.org/docs/latest-v20.x/api/test.html#event-testfail */
  readonly details: { readonly error: Error & { readonly failureType?: string } };
}

const missing = LONGEST.filter((name) => !existsSync(sourceOf(name)));
if (missing.length > 0) throw new Error(`run.ts knows tests that are not there: ${missing.join(', ')}`);
const rest = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .map((path) => path.replace(/\.test\.ts$/, ''))
  .filter((name) => !LONGEST.includes(name))
  .toSorted((a, b) => a.localeCompare(b));
const [level, ...beside] = process.argv[2] === '--unit' ? process.argv.slice(2) : ['all', ...process.argv.slice(2)];
const wanted = [...LONGEST, ...rest].filter((name) => level === 'all' || !startsProcesses(sourceOf(name)));
const longest = wanted.filter((name) => LONGEST.includes(name));
const alone = wanted.filter(isAlone);
const others = wanted.filter((name) => !alone.includes(name) && !longest.includes(name));
const ownProcess = (names: readonly string[]) => names.map((name) => join(COMPILED, `${name}.test.js`));
const quick = shared(
  others.filter((name) => !startsProcesses(sourceOf(name))),
  'quick',
  TOGETHER,
);
const programs = shared(
  others.filter((name) => startsProcesses(sourceOf(name))),
  'programs',
  TOGETHER_WITH_PROGRAMS,
);
const long = [
  ...shared(
    longest.filter((name) => !alone.includes(name)),
    'longest',
    level === 'all' ? LONGEST_TOGETHER : 1,
  ),
  ...ownProcess(longest.filter((name) => alone.includes(name))),
];
const single = ownProcess(alone.filter((name) => !longest.includes(name)));
// Those that start programs wait most, one file after the other, which must not come last; beside the long ones, of which many wait at the
// same time, are those that only compute.
const files =
  level === 'all'
    ? [...long.slice(0, AT_ONCE), ...programs, ...mixed(long.slice(AT_ONCE), quick), ...single]
    : [...long, ...quick, ...single];

// Node reads all those certificates whenever it starts, which can double that time, in programs that start by the hundred and ask nobody in
// the world.
delete process.env['NODE_EXTRA_CA_CERTS'];
runBeside(beside);
run({ files, concurrency: AT_ONCE, timeout: HANGS_MS })
  .on('test:fail', reportAtTheEnd)
  .compose(process.stdout.isTTY ? new spec() : tap)
  .pipe(process.stdout);
