import { tunnelOf } from '../../model/redundancy.ts';
import type { TunnelSpec } from '../../model/spec.ts';
import { UserError } from '../../lib/user-error.ts';

/**
 * Throws a UserError where the tunnel has several servers: what a command writes into the file for one of them would be for all, and those
 * that are not set up for it would not let the tunnel in any more. `instead` is what leads there, in the words of a person's steps.
 */
export function requireOneServer(
  { name, redundancy }: TunnelSpec,
  command: string,
  instead: (tunnel: string) => string,
): void {
  if (redundancy === undefined) return;
  const tunnel = tunnelOf(name);
  throw new UserError(
    `${tunnel} has several servers, and ${command} is for a tunnel with one host: nothing was changed. ${instead(tunnel)}`,
  );
}
