import { existsSync } from 'node:fs';
import { accountOf, MADE_BY_US } from './steps/accounts.ts';
import { readFileState } from './steps/files.ts';
import { UserError } from '../lib/user-error.ts';
import { type Manager, UNIT, unitState } from './systemd/manager.ts';
import { ETC, SERVICE_USER, STATE, UNIT_FILE } from './systemd/service-paths.ts';
import type { Runner } from './steps/run-program.ts';
import { checksumState } from './systemd/checksum.ts';
import type { Step } from './steps/step.ts';

export interface RemovalRequest {
  readonly manager: Manager;
  readonly unitFile: string;
  /** Whether to remove configuration, keys and state too. */
  readonly purge: boolean;
}

/** Plans the removal of the system's service. What the installation did not make stays. */
export async function planRemoval(request: RemovalRequest, run: Runner): ReturnType<typeof planUnitRemoval> {
  const { steps, notes } = await planUnitRemoval(request);
  const backup = `${UNIT_FILE}.before-tunneld`;
  if (existsSync(backup))
    notes.push(
      `the previous unit is kept as ${backup}; to restore it: ` +
        `sudo mv ${backup} ${UNIT_FILE} && sudo systemctl daemon-reload && sudo systemctl enable --now tunnel`,
    );
  if (!request.purge) {
    const left = [ETC, STATE].filter((path) => existsSync(path));
    if (left.length > 0)
      notes.push(`configuration, keys and state are kept: ${left.join(', ')} (--purge removes them)`);
    return { steps, notes };
  }
  steps.push({ type: 'remove', path: ETC }, { type: 'remove', path: STATE });
  const account = await accountOf(run, SERVICE_USER);
  if (account?.comment === MADE_BY_US) {
    steps.push({ type: 'command', argv: ['userdel', SERVICE_USER], why: 'tunneld install created the user' });
    // userdel keeps a group with other members; these were added for tunneld only.
    if (await hasOtherMembers(run))
      steps.push({ type: 'command', argv: ['groupdel', SERVICE_USER], why: 'and the group with it' });
  } else if (account !== null)
    notes.push(
      `the user ${SERVICE_USER} is kept, because tunneld install did not create it; to remove it: sudo userdel ${SERVICE_USER}`,
    );
  return { steps, notes };
}

async function hasOtherMembers(run: Runner): Promise<boolean> {
  const { stdout } = await run(['getent', 'group', SERVICE_USER]);
  const [, , , members = ''] = stdout.trimEnd().split(':');
  return members !== '';
}

export async function planUnitRemoval({
  manager,
  unitFile,
}: RemovalRequest): Promise<{ readonly steps: Step[]; readonly notes: string[] }> {
  const state = await unitState(manager);
  const own = (await readFileState(unitFile))?.content ?? null;
  const packaged = own === null && state.load === 'loaded' && /^\/(?:usr\/)?lib\//.test(state.fragment);
  refuseEdited(own, unitFile, manager);
  const steps: Step[] = [];
  const notes: string[] = [];
  const command = (why: string, ...argv: readonly string[]) =>
    steps.push({ type: 'command', argv: [...manager.systemctl, ...argv], why });
  if (own === null && state.fragment === unitFile) {
    command('its unit file was removed by hand', 'stop', UNIT);
    command('the unit file is removed', 'daemon-reload');
  }
  if (own !== null || packaged) {
    if (state.active !== 'inactive' || state.enabled === 'enabled')
      command('stop it, and do not start it at boot', 'disable', '--now', UNIT);
    if (packaged) notes.push(`${state.fragment} belongs to the Debian package; to remove it: sudo apt remove tunneld`);
  }
  if (own !== null) {
    steps.push({ type: 'remove', path: unitFile });
    command('the unit file is removed', 'daemon-reload');
    if (state.active === 'failed') command('forget its failure', 'reset-failed', UNIT);
    if (state.dropIns.length > 0) notes.push(`your drop-ins are kept: ${state.dropIns.join(', ')}`);
  }
  return { steps, notes };
}

function refuseEdited(own: string | null, unitFile: string, { systemctl }: RemovalRequest['manager']): void {
  if (own === null || checksumState(own) === 'intact') return;
  throw new UserError(
    `${unitFile} was edited after tunneld install wrote it, and is not removed: remove it yourself ` +
      `(\`${systemctl.join(' ')} disable --now tunnel\`, \`rm ${unitFile}\`), and run this again`,
  );
}
