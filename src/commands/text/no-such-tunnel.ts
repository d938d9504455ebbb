import { EXIT } from '../../lib/exit-code.ts';
import { UserError } from '../../lib/user-error.ts';

export function noSuchTunnel(name: string | null, tunnels: readonly { readonly name: string }[]): UserError {
  const names = tunnels.map((tunnel) => tunnel.name).join(', ');
  return new UserError(`there is no tunnel ${JSON.stringify(name)}; there are: ${names}`, EXIT.noSuchTunnel);
}
