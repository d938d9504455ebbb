import { existsSync, readFileSync } from 'node:fs';
import { access, constants, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Config } from '../config/config.ts';
import type { ConfigEnvironment } from '../config/environment.ts';
import { parseConfig } from '../config/parse.ts';
import { errorCode } from '../lib/text.ts';
import { type Account, accountOf, checkAccount, groupNumber } from './accounts.ts';
import { checkFiles, ownershipSteps } from './config-files.ts';
import { classifyUnit, type Existing } from './existing-unit.ts';
import { look, unable } from './files.ts';
import { handedOverProblems } from './handed-over.ts';
import { InstallError } from './install-error.ts';
import { systemdVersion, systemManager, type Manager, UNIT, unitState, type UnitState } from './manager.ts';
import { CONFIG, ETC, SERVICE_USER, serviceEnvironment, STATE, UNIT_FILE } from './places.ts';
import { checkProgram, type Program } from './program.ts';
import type { Runner } from './run-program.ts';
import { seal } from './seal.ts';
import type { Step } from './step.ts';
import { planTakeover } from './takeover.ts';
import { OLDEST_SYSTEMD, systemUnit } from './unit-file.ts';

/** What an installation will do, and what it depends on. */
export interface Plan {
  /** All but the service manager's part. */
  readonly steps: readonly Step[];
  readonly unitFile: string;
  readonly manager: Manager;
  readonly state: UnitState;
  /** The command line of the daemon, where the unit fixes it. */
  readonly words: readonly string[] | null;
  /** What is to be confirmed, or null. */
  readonly question: string | null;
  readonly notes: readonly string[];
  /** The configuration's file, for asking the daemon. */
  readonly config: string;
}

export interface SystemRequest {
  /** A configuration to copy, where there is none yet. */
  readonly copyFrom: string | null;
  readonly program: Program;
  readonly here: ConfigEnvironment;
  readonly run: Runner;
}

/** Looks at everything, refuses what cannot be, and lays out the rest; it changes nothing. */
export async function planSystem({ copyFrom, program, here, run }: SystemRequest): Promise<Plan> {
  const manager = systemManager(run);
  const systemd = await systemdVersion(manager, OLDEST_SYSTEMD);
  await checkProgram(program);
  for (const directory of ['/etc', '/etc/systemd/system', '/var/lib'])
    await access(directory, constants.W_OK).catch((error: unknown) => {
      throw unable('write to', directory, error);
    });
  const account = await accountOf(run, SERVICE_USER);
  checkAccount(account, await groupNumber(run, SERVICE_USER), STATE);

  const state = await unitState(manager);
  if (state.load === 'masked')
    throw new InstallError('tunnel.service is masked: `sudo systemctl unmask tunnel`, and run this again');
  const own = existsSync(UNIT_FILE) ? ((await look(UNIT_FILE))?.content ?? null) : null;
  const text = state.fragment === '' ? '' : (await run(['systemctl', 'cat', '--no-pager', UNIT])).stdout;
  const users = await usersOf(text, run);
  const existing = classifyUnit(own, text, state, program.packagedUnit, {
    hostname: hostname(),
    readText,
    homeOf: (user) => users.get(user)?.home ?? null,
  });
  refuseUnit(existing, state);
  const odd = await handedOverProblems(ETC);
  if (odd.length > 0) throw new InstallError(odd.join('\n'), 78);

  const notes: string[] = [];
  const steps: Step[] = [
    { type: 'user', name: SERVICE_USER, home: STATE },
    { type: 'directory', path: ETC, mode: 0o750, owner: 'root', group: SERVICE_USER },
    { type: 'directory', path: STATE, mode: 0o700, owner: SERVICE_USER, group: SERVICE_USER },
  ];
  const service = serviceEnvironment(here);
  let config: Config;
  let question: string | null = null;
  const there = await existingText(CONFIG);
  if (there === null && copyFrom === null && existing.type === 'ssh') {
    const { command } = existing;
    const takeover = await planTakeover(command, ownerOf(command.user, users), here);
    config = await parseConfig(takeover.yaml, CONFIG, service);
    steps.push(...takeover.files, configStep(takeover.yaml));
    notes.push(...takeover.notes);
  } else {
    const copied = copyFrom === null ? null : await readFile(copyFrom, 'utf8').catch(unreadable(copyFrom));
    if (there !== null && copied !== null && copied !== there)
      throw new InstallError(
        `${CONFIG} exists and is not the same as ${copyFrom}: leave --config out, or move one of them away`,
      );
    const content = there ?? copied;
    if (content === null)
      throw new InstallError(
        `there is no configuration ${CONFIG} yet: \`sudo tunneld init [user@]host -R 8080:localhost:22\` makes one with a key, ` +
          'or name one to copy with --config FILE',
        78,
      );
    config = await parseConfig(content, CONFIG, service);
    notes.push(...checkFiles(config, existsSync));
    steps.push(configStep(there === null ? content : null), ...ownershipSteps(config, existsSync));
  }
  if (existing.type === 'ssh') {
    const backup = await backupPath(text, own);
    const { program: old, args, user } = existing.command;
    question = `${state.fragment} runs \`${[old, ...args].join(' ')}\` as ${user}. Let tunneld do this instead?`;
    if (own !== null)
      steps.push({ type: 'file', path: backup, mode: 0o644, owner: 'root', group: 'root', content: own });
    notes.push(`the old unit is kept as ${own === null ? state.fragment : backup}`);
    if (there !== null) notes.push(`${CONFIG} is kept as it is: see to it that it has what the old unit did`);
  }
  steps.push(...unitSteps(program, systemd, own));
  return {
    steps,
    unitFile: UNIT_FILE,
    manager,
    state,
    words: program.words === null ? null : [...program.words, 'run'],
    question,
    notes,
    config: CONFIG,
  };
}

function configStep(content: string | null): Step {
  return { type: 'file', path: CONFIG, mode: 0o640, owner: 'root', group: SERVICE_USER, content };
}

/** Where a package brings the unit, ours would only stand before it. */
function unitSteps(program: Program, systemd: number, own: string | null): readonly Step[] {
  if (program.packagedUnit !== null) return own === null ? [] : [{ type: 'remove', path: UNIT_FILE }];
  const content = seal(
    systemUnit({ program: program.exec, systemd }),
    `Changes belong into a drop-in: systemctl edit ${UNIT}`,
  );
  return [{ type: 'file', path: UNIT_FILE, mode: 0o644, owner: 'root', group: 'root', content }];
}

function refuseUnit(existing: Existing, { fragment, dropIns }: UnitState): void {
  if (existing.type === 'edited')
    throw new InstallError(
      `${UNIT_FILE} was edited by hand, and would be overwritten: put your changes into a drop-in (\`sudo systemctl edit tunnel\`), ` +
        `move the file away (\`sudo mv ${UNIT_FILE} ${UNIT_FILE}.old\`), and run this again`,
    );
  if (existing.type === 'foreign')
    throw new InstallError(
      `there is another tunnel.service, ${fragment || UNIT_FILE}, and it is not taken over: ${existing.why}. ` +
        'Rename it, or write what it does into a configuration yourself, and run this again',
    );
  if (existing.type === 'ssh' && dropIns.length > 0)
    throw new InstallError(
      `tunnel.service has drop-ins that were meant for the command it runs now: ${dropIns.join(', ')}. Move them away, and run this again`,
    );
}

/** Free, or with just this text in it from an installation that did not come to its end. */
async function backupPath(text: string, own: string | null): Promise<string> {
  for (let number = 1; ; number += 1) {
    const path = `${UNIT_FILE}.before-tunneld${number === 1 ? '' : `-${number}`}`;
    const there = await look(path);
    if (there === null || there.content === (own ?? text)) return path;
  }
}

function ownerOf(user: string, users: ReadonlyMap<string, Account>): Pick<Account, 'name' | 'home' | 'uid'> {
  const account = users.get(user) ?? (user === 'root' ? { name: 'root', home: '/root', uid: 0 } : undefined);
  if (account !== undefined) return account;
  throw new InstallError(
    `tunnel.service runs as the user ${user}, who does not exist: mend or remove it, and run this again`,
  );
}

async function usersOf(text: string, run: Runner): Promise<ReadonlyMap<string, Account>> {
  const users = new Map<string, Account>();
  for (const [, user = ''] of text.matchAll(/^\s*User\s*=\s*(\S+)\s*$/gm)) {
    const account = await accountOf(run, user);
    if (account !== null) users.set(user, account);
  }
  return users;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** The existing configuration, or null; one that is there and cannot be read is not none. */
async function existingText(path: string): Promise<string | null> {
  return (await look(path))?.content ?? null;
}

function unreadable(path: string) {
  return (error: unknown): never => {
    const why = errorCode(error) === 'ENOENT' ? 'there is no such file' : String(error);
    throw new InstallError(`${path} cannot be copied: ${why}`, 78);
  };
}
