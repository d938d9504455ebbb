import { formatLogLine } from '../../lib/log/format.ts';
import { escapeUnsafeJson } from '../../lib/text.ts';
import { request } from '../find/daemon-request.ts';
import { wantsColour } from '../text/color.ts';

export interface LogsOptions {
  readonly follow: boolean;
  readonly lines: number;
  readonly json: boolean;
}

export async function logs(config: string | null, name: string | null, options: LogsOptions): Promise<void> {
  const { json, lines, follow } = options;
  const colour = wantsColour();
  await request(config, { command: 'logs', name, lines, follow }, name, (line) =>
    process.stdout.write(`${json ? escapeUnsafeJson(line) : formatLogLine(line, colour)}\n`),
  );
}
