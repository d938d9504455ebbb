import { report } from '../../text/report.ts';

/** What a run of init has changed, or would change, and made for other machines; `--json` prints it. */
export class Outcome {
  readonly changes: string[] = [];
  /** For the server, where a person has to run it there. */
  script: string | null = null;
  /** The block for the laptop. */
  clientSetup: string | null = null;
  file: string | null = null;
  tunnel: string | null = null;

  /** Something was changed; a person reads it, too. */
  changed(text: string): void {
    this.changes.push(text);
    report(text);
  }
}

/** The document of `init --json`. Nothing is left out of it in later versions. */
export function initDocument(outcome: Outcome, exitCode: number, error: string | null): object {
  const { changes, file, tunnel, script, clientSetup } = outcome;
  return {
    // With --dry-run, whether something would be.
    changed: changes.length > 0,
    changes,
    configuration: file,
    tunnel,
    exitCode,
    error,
    serverScript: script,
    clientSetup,
  };
}
