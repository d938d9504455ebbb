import type { Clock } from '../../lib/async/clock.ts';
import { matchesGlob } from '../../lib/glob.ts';
import type { ChannelTimeout, ForwardSpec } from '../../model/spec.ts';

/** Limits how long connections may be idle (ssh_config(5), ChannelTimeout). */
export interface IdleWatch {
  /** Calls `onIdle` once, when the connection was idle too long. */
  watch(onIdle: (seconds: number) => void): { active(): void; stop(): void };
}

/** The watches of one SSH connection, by forward; null without a limit. A `global` limit counts all its connections together. */
export function idleWatches(
  limits: readonly ChannelTimeout[],
  clock: Clock,
): (forward: ForwardSpec) => IdleWatch | null {
  // 0 is no limit.
  const limitOf = (applies: (type: string) => boolean) => limits.find(({ type }) => applies(type))?.ms || Infinity;
  const global = limitOf((type) => type === GLOBAL);
  let lastOfAll = clock.now();
  return (forward) => {
    const own = limitOf((type) => type !== GLOBAL && matchesGlob(channelType(forward), type));
    if (own === Infinity && global === Infinity) return null;
    return {
      watch: (onIdle) => {
        let last = clock.now();
        let cancel = () => {};
        const check = () => {
          const left = Math.min(last + own, lastOfAll + global) - clock.now();
          if (left > 0) cancel = clock.timer(left, check);
          else onIdle(Math.round((clock.now() - last) / 1000));
        };
        const active = () => {
          last = clock.now();
          lastOfAll = last;
        };
        active();
        check();
        return { active, stop: () => cancel() };
      },
    };
  };
}

const GLOBAL = 'global';

/** OpenSSH's name for the channels of a forward. */
function channelType({ kind, listen, target }: ForwardSpec): string {
  if (kind === 'remote') return listen.type === 'unix' ? 'forwarded-streamlocal@openssh.com' : 'forwarded-tcpip';
  return target.type === 'unix' ? 'direct-streamlocal@openssh.com' : 'direct-tcpip';
}
