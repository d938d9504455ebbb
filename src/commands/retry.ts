import { request } from './daemon-request.ts';
import { EXIT } from './exit.ts';

export async function retry(config: string | null, name: string | null): Promise<number> {
  const answer = await request(config, { command: 'retry', name }, name);
  if ('exit' in answer) return answer.exit;
  const waited = answer.result;
  process.stdout.write(waited.length === 0 ? 'nothing waits to be tried\n' : `trying now: ${waited.join(', ')}\n`);
  return EXIT.ok;
}
