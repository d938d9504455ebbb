import { existsSync } from 'node:fs';
import { access, constants, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { ConfigEnvironment } from '../config/input/environment.ts';
import { escapeControls } from '../lib/text.ts';
import { type Account, accountOf, checkAccount, groupNumber } from './steps/accounts.ts';
import { classifyUnit, type Existing } from './takeover/existing-unit.ts';
import { readFileState, fileError } from './steps/files.ts';
import { credentialProblems } from './systemd/credentials.ts';
import { UserError } from '../lib/user-error.ts';
import {
  inheritedVariables,
  systemdVersion,
  systemManager,
  type Manager,
  UNIT,
  unitState,
  type UnitState,
} from './systemd/manager.ts';
import type { OldCommand, UnitContext } from './takeover/old-unit.ts';
import type { UnitTrial } from './takeover/trial.ts';
import { CONFIG, ETC, SERVICE_USER, STATE, UNIT_FILE } from './systemd/service-paths.ts';
import { readOldText } from './steps/old-text.ts';
import { checkProgram, type Program } from './systemd/program.ts';
import type { Runner } from './steps/run-program.ts';
import { withChecksum } from './systemd/checksum.ts';
import type { Step } from './steps/step.ts';
import { planConfig, type PlannedConfig } from './system-config.ts';
import { OLDEST_SYSTEMD, systemUnit } from './systemd/unit-file.ts';
import { EXIT } from '../lib/exit-code.ts';

/** What an installation will do, and the state that it was planned from. */
export interface Plan {
  /** All steps but those of the service manager. */
  readonly steps: readonly Step[];
  readonly unitFile: string;
  readonly manager: Manager;
  readonly state: UnitState;
  /** The command line of the daemon; null where a packaged unit decides it. */
  readonly argv: readonly string[] | null;
  /** Set where the service replaces a unit that runs ssh: what is asked before, and the tunnels that do what it does. */
  readonly takeover: { readonly question: string; readonly tunnels: readonly string[] } | null;
  readonly notes: readonly string[];
  /** The configuration file, by which the daemon is found. */
  readonly config: string;
  /** The unit of the system's service, on trial first where something else is replaced; null for a user's. */
  readonly trial: UnitTrial | null;
}

export interface SystemRequest {
  /** The configuration to copy where none is installed; null for none. */
  readonly copyFrom: string | null;
  readonly program: Program;
  readonly here: ConfigEnvironment;
  readonly run: Runner;
  /** The configuration, where it is planned already. */
  readonly config?: PlannedConfig;
}

/** Plans the installation of the system's service; changes nothing. Rejects where it is impossible. */
export async function planSystem({ copyFrom, program, here, run, config }: SystemRequest): Promise<Plan> {
  const manager = systemManager(run);
  const systemd = await systemdVersion(manager, OLDEST_SYSTEMD);
  await checkProgram(program);
  await checkSystem(run);
  const state = await unitState(manager);
  const { own, old } = await existingUnit(state, program, run);
  const wanted = config ?? (await planConfig({ copyFrom, here, old }));
  const unit = program.packagedUnit === null ? ourUnit(program, systemd) : await readFile(program.packagedUnit, 'utf8');
  const unitSteps = stepsOfUnit(program, unit, own);
  const backup = old === null ? null : await backupOf(own, state);
  const before = [
    { type: 'user', name: SERVICE_USER, home: STATE },
    { type: 'directory', path: ETC, mode: 0o750, owner: 'root', group: SERVICE_USER },
    { type: 'directory', path: STATE, mode: 0o700, owner: SERVICE_USER, group: SERVICE_USER },
    ...wanted.steps,
  ] as const;
  const ofUnit = [...(backup?.steps ?? []), ...unitSteps];
  return {
    steps: [...before, ...ofUnit],
    unitFile: UNIT_FILE,
    manager,
    state,
    argv: program.argv === null ? null : [...program.argv, 'run'],
    takeover: old === null ? null : { question: questionOf(old.command, state), tunnels: wanted.tunnels },
    notes: [...(old?.command.droppedSettings ?? []), ...wanted.notes, ...(backup?.notes ?? [])].map(escapeControls),
    config: CONFIG,
    trial: { unit, unitSteps: ofUnit },
  };
}

function questionOf({ program, args, user }: OldCommand, { fragment }: UnitState): string {
  const command = escapeControls([program, ...args].join(' '));
  return `${fragment} runs \`${command}\` as ${user}. Let tunneld do this instead?`;
}

/** Checks that the directories are writable, and that accounts and files meet the needs of the service. */
async function checkSystem(run: Runner): Promise<void> {
  for (const directory of ['/etc', '/etc/systemd/system', '/var/lib'])
    await access(directory, constants.W_OK).catch((error: unknown) => {
      throw fileError('write to', directory, error);
    });
  const account = await accountOf(run, SERVICE_USER);
  checkAccount(account, await groupNumber(run, SERVICE_USER), STATE);
  const odd = await credentialProblems(ETC);
  if (odd.length > 0) throw new UserError(odd.join('\n'), EXIT.config);
}

/** The text of the unit file at our path, and the command of a unit that runs ssh. Rejects where the unit runs anything else. */
async function existingUnit(state: UnitState, program: Program, run: Runner) {
  if (state.load === 'masked')
    throw new UserError('tunnel.service is masked: run `sudo systemctl unmask tunnel`, then this again');
  const own = existsSync(UNIT_FILE) ? ((await readFileState(UNIT_FILE))?.content ?? null) : null;
  const text = state.fragment === '' ? '' : (await run(['systemctl', 'cat', '--no-pager', UNIT])).stdout;
  const users = await usersOf(text, run);
  const existing = classifyUnit(own, text, state, program.packagedUnit, await unitContext(users, run));
  refuseUnit(existing, state);
  const old = existing.type === 'ssh' ? { ...existing, account: ownerOf(existing.command.user, users) } : null;
  return { own, old };
}

function ourUnit(program: Program, systemd: number): string {
  return withChecksum(
    systemUnit({ program: program.exec, systemd }),
    `Put changes into a drop-in: systemctl edit ${UNIT}`,
  );
}

/** A packaged unit is used as it is: a unit file in /etc would hide it. */
function stepsOfUnit({ packagedUnit }: Program, content: string, own: string | null): readonly Step[] {
  if (packagedUnit !== null) return own === null ? [] : [{ type: 'remove', path: UNIT_FILE }];
  return [{ type: 'file', path: UNIT_FILE, mode: 0o644, owner: 'root', group: 'root', content }];
}

function refuseUnit(existing: Existing, { fragment, dropIns }: UnitState): void {
  if (existing.type === 'edited')
    throw new UserError(
      `${UNIT_FILE} was edited by hand, and is not overwritten: put your changes into a drop-in (\`sudo systemctl edit tunnel\`), ` +
        `move the file away (\`sudo mv ${UNIT_FILE} ${UNIT_FILE}.old\`), and run this again`,
    );
  if (existing.type === 'foreign')
    throw new UserError(
      `${fragment || UNIT_FILE} is another tunnel.service, and cannot be taken over: ${existing.why}. ` +
        'Rename it, or write its tunnels into a configuration yourself, and run this again',
    );
  if (existing.type === 'ssh' && dropIns.length > 0)
    throw new UserError(
      `tunnel.service has drop-ins for its present command: ${dropIns.join(', ')}. Move them away, and run this again`,
    );
}

/** Keeps the old unit under a free name; a backup with the same text, from an interrupted installation, is used again. */
async function backupOf(own: string | null, { fragment }: UnitState) {
  if (own === null) return { steps: [], notes: [`the old unit is kept as ${fragment}`] };
  for (let number = 1; ; number += 1) {
    const path = `${UNIT_FILE}.before-tunneld${number === 1 ? '' : `-${number}`}`;
    const existing = await readFileState(path);
    if (existing !== null && existing.content !== own) continue;
    const step = { type: 'file', path, mode: 0o644, owner: 'root', group: 'root', content: own } as const;
    return { steps: [step], notes: [`the old unit is kept as ${path}`] };
  }
}

function ownerOf(user: string, users: ReadonlyMap<string, Account>): Account {
  const account = users.get(user) ?? (user === 'root' ? ROOT : undefined);
  if (account !== undefined) return account;
  throw new UserError(
    `tunnel.service runs as the user ${user}, which does not exist: repair or remove the unit, and run this again`,
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

const ROOT: Account = { name: 'root', uid: 0, gid: 0, comment: '', home: '/root' };

async function unitContext(users: ReadonlyMap<string, Account>, run: Runner): Promise<UnitContext> {
  return {
    hostname: hostname(),
    readText: readOldText,
    homeOf: (user) => users.get(user)?.home ?? null,
    inherited: await inheritedVariables(run),
  };
}
