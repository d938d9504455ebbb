import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { fail } from './text/report.ts';

/** With `take` the tunnel asks for its listeners even where another device had them; that is said of one tunnel. */
export async function retry(config: string | null, name: string | null, take: boolean): Promise<number> {
  if (take && name === null) return fail('--take is said of one tunnel: tunneld retry NAME --take', EXIT.usage);
  const answer = await request(config, { command: 'retry', name, ...(take ? { take } : {}) }, name);
  if ('exit' in answer) return answer.exit;
  const waited = answer.result;
  if (take) {
    process.stdout.write(`${name} takes its listeners as soon as the server gives them\n`);
    return EXIT.ok;
  }
  process.stdout.write(waited.length === 0 ? 'nothing waits to be tried\n' : `trying now: ${waited.join(', ')}\n`);
  return EXIT.ok;
}
