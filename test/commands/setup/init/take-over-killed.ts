// A device whose /etc and /run are its own, with a service manager that is one file for each unit. A takeover is killed there at one
// point after the other; `killed` and `power` say what comes after. Prints a line of JSON for each point.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { RUN_AT_END, takeOverKeepers } from '../../../../src/commands/setup/init/take-over-keepers.ts';
import { changesOf } from '../../../../src/install/steps/apply-changes.ts';
import { runProgram, type Runner } from '../../../../src/install/steps/run-program.ts';
import type { Step } from '../../../../src/install/steps/step.ts';
import type { LinuxKeeper as Keeper } from '../../../../src/install/keepers/keeper.ts';
import { thisMachine } from '../../../../src/install/keepers/machine.ts';
import { systemManager } from '../../../../src/install/systemd/manager.ts';

const UNITS = ['home.service', 'out.service'];
const SERVICE = 'tunnel.service';
const UNIT_FILE = `/etc/systemd/system/${SERVICE}`;
const TRIAL_UNIT = `/run/systemd/system.control/${SERVICE}`;
const CONFIG = '/etc/tunneld/config.yaml';
const CRONTAB = '/etc/crontab';
const LINE = '@reboot autossh -M 0 -f -N -R 1:a:1 relay';
const LEFT = ['', '.end', '.start', '.kept'].map((end) => `/run/tunneld-takeover${end}`).concat(TRIAL_UNIT);

/** The service manager, and the daemon as far as its configuration: has-relay says whether it has the new tunnel. */
const SYSTEMCTL = `#!/bin/sh
while :; do case $1 in --*) shift ;; *) break ;; esac; done
verb=$1
[ $# -eq 0 ] || shift
for unit; do
  case "$verb $unit" in
    *\\ --*) ;;
    'start ${SERVICE}' | 'restart ${SERVICE}' | 'reload ${SERVICE}')
      [ -e ${TRIAL_UNIT} ] || [ -e ${UNIT_FILE} ] || exit 5
      rm -f /run/device/trial /run/device/has-relay
      ! grep -q relay: ${CONFIG} || : >/run/device/has-relay
      : >/run/device/active-$unit ;;
    start\\ * | restart\\ *) : >/run/device/active-$unit ;;
    stop\\ *) rm -f /run/device/active-$unit ;;
    enable\\ *) : >/etc/device/enabled-$unit ;;
    disable\\ *) rm -f /etc/device/enabled-$unit ;;
    is-active\\ *) [ -e /run/device/active-$unit ] || exit 3 ;;
  esac
done
`;

const isActive = (unit: string) => existsSync(`/run/device/active-${unit}`);
const isEnabled = (unit: string) => existsSync(`/etc/device/enabled-${unit}`);
const crontab = () => readFileSync(CRONTAB, 'utf8').split('\n')[0]!;

function begin(hasService: boolean): void {
  for (const path of ['/run/device', '/etc/device', '/etc/tunneld', '/run/systemd', '/etc/systemd', ...LEFT])
    rmSync(path, { recursive: true, force: true });
  for (const path of ['/run/device', '/etc/device', '/etc/tunneld', '/etc/systemd/system'])
    mkdirSync(path, { recursive: true });
  for (const unit of hasService ? [SERVICE, ...UNITS] : UNITS)
    for (const path of [`/run/device/active-${unit}`, `/etc/device/enabled-${unit}`]) writeFileSync(path, '');
  if (hasService) for (const path of [CONFIG, UNIT_FILE]) writeFileSync(path, 'tunnels:\n  other: {}\n');
  writeFileSync(CRONTAB, `${LINE}\n`);
}

/** Counts what the takeover does in the world; from the point of its death on nothing of it happens any more. */
const death = { at: Number.POSITIVE_INFINITY, points: 0, die: (_what: string) => {} };

/** Whether it dies here: before or after this. */
function diesAt(what: string): boolean {
  death.points += 1;
  if (death.points === death.at) death.die(what);
  return death.points >= death.at;
}

/** What only looks at the world is no point of its own, nor is the time before a command that follows another one at once. */
const mortal: Runner = async (argv) => {
  const what = argv.join(' ').slice(0, 60);
  if (/^systemctl (?:stop home|daemon-reload)/.test(what) && diesAt(`before ${what}`)) await new Promise(() => {});
  const result = await runProgram(argv);
  const changes = /^systemctl (?:stop|daemon-reload|restart|enable|disable)/.test(what);
  if (changes && diesAt(`after ${what}`)) await new Promise(() => {});
  return result;
};

function daemon(): void {
  mkdirSync('/run/tunneld');
  const answerTo = (request: { command: string; candidate?: string }): unknown => {
    const trial = existsSync('/run/device/trial') ? readFileSync('/run/device/trial', 'utf8') : null;
    if (request.command === 'apply') {
      writeFileSync('/run/device/trial', request.candidate!);
      writeFileSync('/run/device/has-relay', '');
    }
    if (request.command === 'confirm') rmSync('/run/device/trial');
    if (request.command === 'reload') spawnSystemctl('reload');
    const tunnels = existsSync('/run/device/has-relay') ? [{ name: 'relay', phase: 'up', forwards: [] }] : [];
    return { config: CONFIG, tunnels, ...(trial === null ? {} : { trial: { candidate: trial, waitingFor: [] } }) };
  };
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (data) => {
      const request = JSON.parse(String(data)) as { command: string };
      const changes = request.command !== 'status';
      if (changes && diesAt(`before ${request.command}`)) return void socket.write(NEVER_WHOLE);
      const result = isActive(SERVICE) ? answerTo(request) : null;
      if (changes && diesAt(`after ${request.command}`)) return void socket.write(NEVER_WHOLE);
      const refused = { ok: false, code: 'internal', message: 'it does not run' };
      socket.end(`${JSON.stringify(result === null ? refused : { ok: true, result })}\n`);
    });
  });
  server.listen('/run/tunneld/control.sock');
  server.unref();
}

/** An answer without an end of the connection: who asked is dead, and is not to lose its patience in another world. */
const NEVER_WHOLE = '{"ok":true,"result":null}\n';

function spawnSystemctl(verb: string): void {
  void runProgram(['systemctl', verb, SERVICE]);
}

/** What keeps tunnels up now. */
function keepers(): readonly Keeper[] {
  const units = UNITS.map((unit): Keeper => {
    const hold = { type: 'unit', unit, timer: null, user: null } as const;
    const file = `/etc/${unit}`;
    return { name: unit, file, commands: [], why: null, enabled: isEnabled(unit), running: isActive(unit), hold };
  });
  const lines = { lines: [0, 0], text: LINE, user: 'root', command: 'true', environment: {} } as const;
  const line: Keeper = {
    name: `${CRONTAB}:1`,
    file: CRONTAB,
    commands: [],
    why: null,
    enabled: crontab() === LINE,
    running: false,
    hold: { type: 'lines', ...lines },
  };
  return [...units, line].filter(({ enabled, running }) => enabled || running);
}

/** The command, with what it finds now. */
async function takeOver(): Promise<void> {
  const taken = keepers();
  if (taken.length === 0) return;
  const existing = existsSync(CONFIG) ? readFileSync(CONFIG, 'utf8') : 'tunnels:\n';
  const yaml = existing.includes('relay:') ? existing : `${existing}  relay: {}\n`;
  const owned = { mode: 0o644, owner: 'root', group: 'root' };
  const file = (path: string, content: string): Step => ({ type: 'file', path, content, ...owned });
  const unitSteps = [file(UNIT_FILE, 'unit\n')];
  const steps = [file('/etc/tunneld/relay.key', 'key\n'), file(CONFIG, yaml), ...unitSteps];
  const active = isActive(SERVICE) ? 'active' : 'inactive';
  const state = { active, enabled: isEnabled(SERVICE) ? 'enabled' : 'disabled' };
  const changes = await changesOf(steps, runProgram);
  const ofUnit = changes.flatMap(({ step }) => (step.type === 'file' && step.path === UNIT_FILE ? [step] : []));
  const plan = { steps, state, manager: systemManager(mortal), trial: { unit: 'unit\n', unitSteps: ofUnit } };
  const from = { yaml, specs: [], steps, notes: [], tunnels: ['relay'], taken, left: [] };
  await takeOverKeepers(
    plan as unknown as Parameters<typeof takeOverKeepers>[0],
    from,
    changes,
    await thisMachine(runProgram),
  );
  await runAtEnd();
}

/** What its unit does at its end. */
async function runAtEnd(): Promise<void> {
  await runProgram(['sh', '-c', RUN_AT_END]);
}

/** What is in memory is gone, and what is enabled starts. */
async function boot(): Promise<void> {
  for (const path of ['/run/device', '/run/systemd', ...LEFT]) rmSync(path, { recursive: true, force: true });
  mkdirSync('/run/device');
  for (const unit of [SERVICE, ...UNITS]) if (isEnabled(unit)) await runProgram(['systemctl', 'start', unit]);
}

/** Which of the two ways in run, or would after a start of the machine. */
function ways(): { old: boolean; new: boolean } {
  return { old: UNITS.every(isActive), new: isActive(SERVICE) && existsSync('/run/device/has-relay') };
}

async function dieAt(at: number, after: 'killed' | 'power', hasService: boolean): Promise<boolean> {
  begin(hasService);
  let what = '';
  const died = new Promise<void>((resolve) =>
    Object.assign(death, { at, points: 0, die: (point: string) => resolve(void (what = point)) }),
  );
  await Promise.race([takeOver(), died]);
  death.at = Number.POSITIVE_INFINITY;
  if (what === '') return false;
  if (after === 'killed') await runAtEnd();
  const now = after === 'killed' ? ways() : null;
  const left = after === 'killed' ? LEFT.filter((path) => existsSync(path)) : [];
  await boot();
  const booted = ways();
  const isLineKept = crontab() === LINE;
  await takeOver();
  const last = {
    ...ways(),
    enabled: isEnabled(SERVICE) && existsSync(UNIT_FILE),
    keepers: keepers().map(({ name }) => name),
    left: LEFT.filter((path) => existsSync(path)),
  };
  process.stdout.write(`${JSON.stringify({ after, hasService, at: what, now, left, booted, isLineKept, last })}\n`);
  return true;
}

mkdirSync('/run/bin');
for (const [name, text] of Object.entries({
  systemctl: SYSTEMCTL,
  journalctl: '#!/bin/sh\n',
  'systemd-cat': '#!/bin/sh\n',
}))
  writeFileSync(`/run/bin/${name}`, text, { mode: 0o755 });
process.env['PATH'] = `/run/bin:${process.env['PATH'] ?? ''}`;
daemon();
for (const hasService of [false, true])
  for (const after of ['killed', 'power'] as const) for (let at = 1; await dieAt(at, after, hasService); at += 1);
process.exit(0);
