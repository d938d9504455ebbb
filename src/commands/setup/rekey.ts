import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { systemEnvironment } from '../../config/input/environment.ts';
import { parseConfig } from '../../config/parse.ts';
import { createIdentityCache } from '../../connection/auth/identity-cache.ts';
import { openLogin } from '../../connection/route/open-login.ts';
import { systemClock } from '../../lib/async/clock.ts';
import { NEVER } from '../../lib/async/never.ts';
import { EXIT } from '../../lib/exit-code.ts';
import { readText } from '../../lib/files/read-file.ts';
import { createLogger } from '../../lib/log/log.ts';
import { UserError } from '../../lib/user-error.ts';
import { asFailure } from '../../model/failure.ts';
import { isMeant } from '../../model/redundancy.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { editTunnel } from '../../setup/edit-config.ts';
import { requirePlainKeys } from '../../setup/login-keys.ts';
import { finishRotation, makeNextKey, type Rotation, rotationOf } from '../../setup/rotation.ts';
import { tryToHandOverKeys } from '../daemon/reload.ts';
import { findConfig } from '../find/config-file.ts';
import { configuredTunnel } from '../find/configured-tunnel.ts';
import { processTurns } from '../find/process-turns.ts';
import { createQuestions, type Questions } from '../text/prompt.ts';
import { report } from '../text/report.ts';
import { changeConfig } from './change-config.ts';
import { untilServerIsReady } from './init-wait.ts';
import type { Owner } from './init-via.ts';
import { requireOneServer } from './one-server.ts';
import { openOwnerOf } from './owner-of.ts';
import { serverSetupText } from './server-setup.ts';
import { handOut } from './write-script.ts';

export interface RekeyOptions {
  /** The login of the owner's on the server; null where a person runs the scripts there. */
  readonly via: string | null;
  readonly jump: boolean;
  readonly wait: boolean;
  readonly yes: boolean;
}

/**
 * Gives a tunnel a new key. Interrupted at any step, the tunnel is up with the old key or the new one, and the same command goes on from
 * there. The exit code is 0 when the old key is no longer accepted.
 */
export async function rekey(flag: string | null, name: string, options: RekeyOptions): Promise<number> {
  const questions = createQuestions(options.yes);
  const file = resolve(await findConfig(flag));
  const { tunnel, all } = await configuredTunnel(flag, name);
  requireOneServer(
    tunnel,
    'rekey',
    (of) =>
      `Make a key (ssh-keygen -t ed25519 -N '' -f FILE), add it to its identityFile as a second one, and run on each server what \`tunneld server-setup\` prints for that (${namesOf(all, of)}); then take the old key out, and run them again`,
  );
  let owner: Owner | null = null;
  try {
    const first = join(dirname(file), `${name}.key`);
    const rotation = await rotationOf({ ...tunnel, identityFiles: named(tunnel) }, first, 'key');
    if (rotation.phase === 'begun') await requirePlainKeys(tunnel, 'rekey');
    else report(`the tunnel has the new key ${rotation.next} already`);
    owner = options.via === null ? null : await openOwnerOf(tunnel, options.via, questions);
    const server = owner === null ? byScript(tunnel, all, options) : byOwner(owner, tunnel, all, options, questions);
    return await rotate(rotation, {
      ...server,
      comment: `tunneld ${name} of ${hostname()}`,
      switchTo: (key) => switchTo(flag ?? file, file, tunnel, key),
      isOurs: (path) => isOurs(path, file, name),
    });
  } finally {
    questions.close();
    await owner?.close();
  }
}

function namesOf(all: readonly TunnelSpec[], tunnel: string): string {
  return all.flatMap(({ name }) => (isMeant(name, tunnel) ? [name] : [])).join(', ');
}

/** The usual keys of ssh are everybody's: they are replaced, and stay. */
function named({ identityFiles, identityFilesConfigured }: TunnelSpec): readonly string[] {
  return identityFilesConfigured ? identityFiles : [];
}

/** What a rotation does beyond the files of the keys. */
export interface RotateDeps {
  readonly comment: string;
  /** Has the server accept these keys; false where that is left to a person, and not done yet. */
  allow(keys: readonly string[], rotation: Rotation): Promise<boolean>;
  /** Logs in with this key alone. Rejects where that is refused. */
  prove(key: string): Promise<void>;
  /** Has the tunnel use this key, on trial. */
  switchTo(key: string): Promise<void>;
  /** Whether the old key was made for this tunnel alone. */
  isOurs(path: string): Promise<boolean>;
}

/** The order is what keeps the tunnel up: the server accepts both keys from before the first trial to after the last. */
export async function rotate(rotation: Rotation, deps: RotateDeps): Promise<number> {
  const { next, old, phase } = rotation;
  if (phase === 'begun') {
    await makeNextKey(rotation, deps.comment);
    report(`the new key is ${next}`);
    if (!(await deps.allow([next, ...old], rotation))) return EXIT.failed;
    await deps.prove(next);
    report('the server accepts the new key; the tunnel tries it now');
    await deps.switchTo(next);
    report('the tunnel is up with the new key');
  }
  if (!(await deps.allow([next], { ...rotation, phase: 'switched' }))) return EXIT.failed;
  const kept = await finishRotation(rotation, deps.isOurs);
  await tryToHandOverKeys();
  report(`done: the server accepts ${next} only`);
  for (const path of kept) report(`${path} stays: it may be used elsewhere`);
  return EXIT.ok;
}

type ServerSide = Pick<RotateDeps, 'allow' | 'prove'>;

function byOwner(
  owner: Owner,
  tunnel: TunnelSpec,
  all: readonly TunnelSpec[],
  { jump }: RekeyOptions,
  questions: Questions,
): ServerSide {
  let confirmed = questions.yes;
  return {
    allow: async (keys) => {
      // One yes is for both changes.
      await owner.setUp(withKeys(tunnel, keys), withoutOld(all, tunnel), jump, { ...questions, yes: confirmed });
      confirmed = true;
      return true;
    },
    prove: (key) => logIn(tunnel, key),
  };
}

/** What is to be done next shows at the server: whether it accepts the new key already, and the old one still. */
function byScript(tunnel: TunnelSpec, all: readonly TunnelSpec[], { jump, wait }: RekeyOptions): ServerSide {
  const script = (keys: readonly string[]) =>
    serverSetupText(withKeys(tunnel, keys), withoutOld(all, tunnel), { jump, undo: false, for: 'debian' });
  return {
    allow: async (keys, { next, old, phase }) => {
      const isDone = phase === 'begun' ? await accepts(tunnel, next) : !(await acceptsAny(tunnel, old));
      if (isDone) return true;
      await handOut(await script(keys), `${tunnel.name}-${phase === 'begun' ? 'new' : 'old'}-key.sh`, dirname(next));
      if (phase === 'begun' && wait) {
        await untilServerIsReady(withKeys(tunnel, [next]), report);
        return true;
      }
      report(
        phase === 'begun'
          ? 'it lets both keys in; when it has run there, run this again'
          : 'it removes the old key; when it has run there, run this again',
      );
      return false;
    },
    prove: async () => {},
  };
}

function withKeys(tunnel: TunnelSpec, identityFiles: readonly string[]): TunnelSpec {
  return identityFiles.length === 0 ? tunnel : { ...tunnel, identityFiles, identityFilesConfigured: true };
}

function withoutOld(all: readonly TunnelSpec[], { name }: TunnelSpec): readonly TunnelSpec[] {
  return all.filter((one) => one.name !== name);
}

/** Whether the server accepts one of these keys. Rejects as accepts() does. */
export async function acceptsAny(tunnel: TunnelSpec, keys: readonly string[]): Promise<boolean> {
  for (const key of keys) if (await accepts(tunnel, key)) return true;
  return false;
}

/** False where the key is refused, or cannot be read. Rejects where the server was not asked. */
export async function accepts(tunnel: TunnelSpec, key: string): Promise<boolean> {
  try {
    await logIn(tunnel, key);
    return true;
  } catch (error) {
    const { code } = asFailure(error);
    if (code === 'auth-rejected' || code === 'key-unreadable') return false;
    throw error;
  }
}

/** Rejects where the server does not accept this key. */
export async function logIn(tunnel: TunnelSpec, key: string): Promise<void> {
  const deps = {
    clock: systemClock,
    turns: processTurns,
    log: createLogger('fatal', () => {}),
    identities: createIdentityCache(),
  };
  const login = await openLogin({ ...withKeys(tunnel, [key]), ...ALONE }, deps, NEVER);
  await login.close();
}

/** Nothing else may let the login in. */
const ALONE = { identitiesOnly: true, identityAgent: null, passwordFile: null } as const;

/** Has the tunnel use this key: on trial where the daemon runs. */
export async function switchTo(flag: string, file: string, tunnel: TunnelSpec, key: string): Promise<void> {
  const text = editTunnel(await readText(file), tunnel.name, { identityFile: key });
  const changed = (await parseConfig(text, file, systemEnvironment())).tunnels.find(({ name }) => name === tunnel.name);
  if (changed?.identityFiles.length !== 1 || changed.identityFiles[0] !== key)
    throw new UserError(
      `${file} does not decide alone which keys ${tunnel.name} has (${changed?.identityFiles.join(', ')}): ssh_config adds some, which has to be changed by hand`,
    );
  await changeConfig(flag, file, text);
}

/** Made by init or by this command, for this tunnel, and of no other tunnel in the file. */
export async function isOurs(path: string, file: string, name: string): Promise<boolean> {
  const { tunnels } = await parseConfig(await readText(file), file, systemEnvironment());
  const comment = await readFile(`${path}.pub`, 'utf8').catch(() => '');
  return new RegExp(`^\\S+ \\S+ tunneld ${name} of `).test(comment) && !tunnels.some(usesIt);

  function usesIt({ identityFiles }: TunnelSpec): boolean {
    return identityFiles.includes(path);
  }
}
