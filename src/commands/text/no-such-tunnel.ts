import { EXIT } from './exit-code.ts';
import { report } from './report.ts';

/** Says that there is no tunnel of this name among these; the answer is the exit code. */
export function noSuchTunnel(name: string | null, tunnels: readonly { readonly name: string }[]): number {
  report(`there is no tunnel ${JSON.stringify(name)}; there are: ${tunnels.map((tunnel) => tunnel.name).join(', ')}`);
  return EXIT.noSuchTunnel;
}
