import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from 'node:test';
import { spec, tap } from 'node:test/reporters';

/** Those that take longest, which come first: else the last of them runs alone while the other processors have nothing to do. */
const LONGEST = [
  'lab/quick',
  'tunnel/real-programs',
  'setup/sshd-config',
  'setup/killed',
  'tunnel/data-path',
  'install/launchd/install',
  'systemd/refusals',
  'systemd/takeover',
  'systemd/service',
  'systemd/install',
  'tunnel/many',
  'tunnel/pairs',
  'audit/via',
  'packaging/deb',
  'daemon/trial-races',
  'tunnel/host-key',
  'tunnel/ssh2/keys',
  'setup/server-setup',
  'tunnel/restrictions',
  'tunnel/route',
  'audit/server-setup',
  'commands/command-lines',
  'tunnel/aborts',
  'audit/audit',
  'daemon/retries',
  'daemon/apply',
  'packaging/deb-build',
  'install/launchd/driver',
  'tunnel/hostile-numbers',
  'daemon/hostile-memory',
  'tunnel/hostile-server-session',
  'tunnel/forwards',
];

/** Two processors are kept busy by this many, of whom some wait. */
const AT_ONCE = 4;

/** After this, in milliseconds, a file is taken for one that hangs. */
const HANGS_MS = 600_000;

const root = join(import.meta.dirname, '.');
const longest = LONGEST.map((name) => join(root, `${name}.test.ts`));
const all = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .toSorted()
  .map((name) => join(root, name));
const missing = longest.filter((file) => !all.includes(file));
if (missing.length > 0) throw new Error(`no longer there: ${missing.join(', ')}`);
const files = [...longest, ...all.filter((file) => !longest.includes(file))];

run({ files, concurrency: AT_ONCE, timeout: HANGS_MS })
  .on('test:fail', () => {
    process.exitCode = 1;
  })
  .compose(process.stdout.isTTY ? new spec() : tap)
  .pipe(process.stdout);
