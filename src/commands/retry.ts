import { request } from './daemon-request.ts';
import { EXIT } from './exit.ts';

export async function retry(config: string | null, name: string | null): Promise<number> {
  const answer = await request(config, { command: 'retry', name }, name);
  return 'exit' in answer ? answer.exit : EXIT.ok;
}
