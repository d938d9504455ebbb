import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '../config/parse.ts';
import { readText } from '../lib/files/read-file.ts';
import { readFileState } from './steps/files.ts';
import { UserError } from '../lib/user-error.ts';
import { type Manager, systemdVersion, UNIT, unitState, userManager } from './systemd/manager.ts';
import { mustRun, type Runner } from './steps/run-program.ts';
import { withChecksum, checksumState } from './systemd/checksum.ts';
import type { Step } from './steps/step.ts';
import type { Plan, SystemRequest } from './plan-system.ts';
import { chosenText } from './system-config.ts';
import { OLDEST_SYSTEMD, userUnit } from './systemd/unit-file.ts';
import { EXIT } from '../lib/exit-code.ts';

/** Plans the installation of a user's own service, in the user's home; changes nothing. */
export async function planUser({ copyFrom, program, here, run }: Omit<SystemRequest, 'config'>): Promise<Plan> {
  const manager = userManager(run);
  const systemd = await systemdVersion(manager, OLDEST_SYSTEMD);
  await checkManager(manager);
  const { home, userName } = here;
  const group = (await mustRun(run, ['id', '-gn'])).trim();
  const unitFile = userUnitFile(home);
  const config = join(home, '.config/tunneld/config.yaml');

  const own = (await readFileState(unitFile))?.content ?? null;
  if (own !== null && checksumState(own) !== 'intact')
    throw new UserError(
      `${unitFile} was written or edited by hand, and is not overwritten: put your changes into a drop-in ` +
        `(\`systemctl --user edit tunnel\`), move the file away, and run this again`,
    );
  const existing = (await readFileState(config))?.content ?? null;
  const copied = copyFrom === null ? null : await readText(copyFrom);
  const content = chosenText(config, existing, copied, copyFrom);
  if (content === null)
    throw new UserError(
      `${config} does not exist: create a configuration and a key with ` +
        `\`tunneld --config ${config} init [user@]host -R 8080:localhost:22\`, or name a file to copy with --config FILE`,
      EXIT.config,
    );
  await parseConfig(content, config, { ...here, env: { HOME: home, XDG_RUNTIME_DIR: here.env['XDG_RUNTIME_DIR'] } });

  const whose = { owner: userName, group };
  const folders: Step[] = ['.config', '.config/tunneld', '.config/systemd', '.config/systemd/user']
    .map((name) => join(home, name))
    // An existing directory keeps its mode.
    .filter((path) => !existsSync(path))
    .map((path) => ({ type: 'directory', path, mode: 0o700, ...whose }));
  const unit = withChecksum(
    userUnit({ program: program.exec, systemd }),
    `Put changes into a drop-in: systemctl --user edit ${UNIT}`,
  );
  return {
    steps: [
      ...folders,
      ...(existing === null ? [{ type: 'file', path: config, mode: 0o600, ...whose, content } as const] : []),
      { type: 'file', path: unitFile, mode: 0o644, ...whose, content: unit },
    ],
    unitFile,
    manager,
    state: await unitState(manager),
    argv: program.argv === null ? null : [...program.argv, 'run', '--config', config],
    takeover: null,
    trial: null,
    notes: [await lingerNote(userName, run)],
    config,
  };
}

export function userUnitFile(home: string): string {
  return join(home, '.config/systemd/user', UNIT);
}

/** Rejects where the user's service manager does not answer. */
export async function checkManager({ systemctl, run }: Manager): Promise<void> {
  const { code, stderr } = await run([...systemctl, 'show', '--property=Version']);
  if (code !== 0) throw new UserError(`${NO_MANAGER} (${stderr.trim()})`);
}

export const NO_MANAGER =
  'your service manager (systemd --user) does not answer: log in by ssh or at the console, not with su or sudo';

/** Without lingering, the service manager of a user ends with the user's last login. */
async function lingerNote(userName: string, run: Runner): Promise<string> {
  const { code, stdout } = await run(['loginctl', 'show-user', userName, '--property=Linger']);
  const on = code === 0 ? stdout.trim() === 'Linger=yes' : existsSync(`/var/lib/systemd/linger/${userName}`);
  return on
    ? 'lingering is on: the service starts at boot, and keeps running when you log out'
    : `lingering is off: the service runs only while you are logged in. To start it at boot: sudo loginctl enable-linger ${userName}`;
}
