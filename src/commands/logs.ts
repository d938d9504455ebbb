import { formatLogLine } from '../lib/log/format.ts';
import { escapeUnsafeJson } from '../lib/text.ts';
import { request } from './find/daemon-request.ts';
import { EXIT } from './text/exit-code.ts';
import { wantsColour } from './text/color.ts';

export async function logs(
  config: string | null,
  name: string | null,
  options: { readonly follow: boolean; readonly lines: number; readonly json: boolean },
): Promise<number> {
  const colour = wantsColour();
  const answer = await request(
    config,
    { command: 'logs', name, lines: options.lines, follow: options.follow },
    name,
    (line) => process.stdout.write(`${options.json ? escapeUnsafeJson(line) : formatLogLine(line, colour)}\n`),
  );
  return 'exit' in answer ? answer.exit : EXIT.ok;
}
