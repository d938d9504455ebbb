import { wrongUsage } from '../../lib/user-error.ts';
import { request } from '../find/daemon-request.ts';

/** With `take` the tunnel asks for its listeners even where another device had them; that needs a name. */
export async function retry(
  config: string | null,
  name: string | null,
  { take }: { readonly take: boolean },
): Promise<void> {
  if (take && name === null) throw wrongUsage('--take needs the name of a tunnel: tunneld retry NAME --take');
  const tried = await request(config, { command: 'retry', name, ...(take ? { take } : {}) }, name);
  if (take) process.stdout.write(`${name} takes its listeners as soon as the server grants them\n`);
  else
    process.stdout.write(
      tried.length === 0 ? 'no tunnel waits for its next try\n' : `trying now: ${tried.join(', ')}\n`,
    );
}
