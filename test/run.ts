import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { run } from 'node:test';
import { spec, tap } from 'node:test/reporters';

/** Those that take longest, which come first: else the last of them runs alone while the other processors have nothing to do. */
const LONGEST = [
  'quick',
  'real-programs',
  'sshd-config',
  'killed',
  'data-path',
  'install',
  'refusals',
  'takeover',
  'service',
  'many',
  'pairs',
  'via',
  'deb',
  'trial-races',
  'host-key',
  'keys',
  'server-setup',
  'restrictions',
  'route',
  'command-lines',
  'aborts',
  'audit',
  'retries',
  'apply',
  'deb-build',
  'driver',
  'hostile-numbers',
  'hostile-memory',
  'hostile-server-session',
  'forwards',
];

/** Some of them wait for others most of the time. */
const AT_ONCE = 2 * availableParallelism() + 1;

/** After this, in milliseconds, a file is taken for one that hangs. */
const HANGS_MS = 600_000;

/** The place of a file in that list, by its name; all others come behind it. */
function rank(path: string): number {
  const index = LONGEST.indexOf(basename(path, '.test.ts'));
  return index < 0 ? LONGEST.length : index;
}

const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts'))
  .toSorted((a, b) => rank(a) - rank(b) || a.localeCompare(b))
  .map((path) => join(import.meta.dirname, path));

run({ files, concurrency: AT_ONCE, timeout: HANGS_MS })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(process.stdout.isTTY ? new spec() : tap)
  .pipe(process.stdout);
