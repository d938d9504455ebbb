import { collectFindings } from '../../../src/config/input/findings.ts';
import { readSshConfig, type SshConfigRequest } from '../../../src/config/ssh-config/read.ts';
import type { ConfigProblem } from '../../../src/model/config.ts';

/** What ssh_config has for a host, and what is reported of it. */
export async function answerOf(request: SshConfigRequest) {
  const problems: ConfigProblem[] = [];
  const { findings, notes, warnings } = collectFindings(problems);
  const options = await readSshConfig(request, findings);
  return { options, problems, notes: [...notes], warnings: [...warnings] };
}
