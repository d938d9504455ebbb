import { UserError } from '../../../lib/user-error.ts';
import type { OldService } from '../../../install/takeover/old-service.ts';
import { type Clock, sleep, systemClock } from '../../../lib/async/clock.ts';
import type { ForwardStatus, StatusDocument, TunnelStatus } from '../../../status/document.ts';
import { systemEnvironment } from '../../../config/input/environment.ts';
import { defaultControlSocket } from '../../../config/input/paths.ts';
import { statusAt } from '../../find/daemon-status.ts';

export interface ProofDeps {
  readonly clock: Clock;
  /** The new daemon's status, or null. */
  status(): Promise<StatusDocument | null>;
  /** Those that do what the old unit did. */
  readonly tunnels: readonly string[];
}

/** Waits until the new service is as up as the old one was. Rejects where it is not within a minute, or needs a person. */
export async function proveTakeover(old: OldService, { clock, status, tunnels }: ProofDeps): Promise<void> {
  const deadline = clock.now() + (old.connected ? PATIENCE_MS : NOTHING_TO_LOSE_MS);
  for (;;) {
    const document = await status();
    const ours = document?.tunnels.filter(({ name }) => tunnels.includes(name)) ?? [];
    if (ours.length > 0 && ours.every((tunnel) => isAsUp(tunnel, old))) return;
    const blocked = ours.find(({ phase }) => phase === 'blocked');
    const late = clock.now() >= deadline;
    if (blocked !== undefined || (late && (old.connected || ours.length === 0)))
      throw new UserError(`the new service is not as up as the old one was: ${describe(ours)}`);
    if (late) return;
    await sleep(clock, LOOK_EVERY_MS);
  }
}

/** The same of the service of this system. */
export async function proveService(old: OldService, tunnels: readonly string[]): Promise<void> {
  const socket = defaultControlSocket(systemEnvironment());
  await proveTakeover(old, { clock: systemClock, status: () => statusAt([socket]).catch(() => null), tunnels });
}

const PATIENCE_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** An old unit without a connection serves nothing; whether the new one needs a person shows as soon. */
const NOTHING_TO_LOSE_MS = 10_000;

/** Up includes verified, as far as the server allows it to be tested. */
function isAsUp(tunnel: TunnelStatus, { refused }: OldService): boolean {
  return tunnel.forwards.every(
    (forward) =>
      (tunnel.phase === 'up' && forward.state === 'up') ||
      (forward.state === 'refused' && refused.includes(portOrPath(forward))),
  );
}

function portOrPath({ listen }: ForwardStatus): string {
  return listen.startsWith('/') ? listen : (/\d+$/.exec(listen)?.[0] ?? '');
}

function describe(tunnels: readonly TunnelStatus[]): string {
  if (tunnels.length === 0) return 'it does not answer';
  return tunnels
    .map(
      ({ name, phase, failure }) =>
        `${name}: ${phase}${failure === undefined ? '' : `, ${failure.code}: ${failure.message}`}`,
    )
    .join('; ');
}
