import { execFile } from 'node:child_process';
import { UserError } from '../../lib/user-error.ts';

/** Runs a program to its end. As in a shell, the code is 127 where the program is missing, and 126 where it cannot be run; after a signal it is null. */
export type Runner = (
  argv: readonly string[],
) => Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;

export const runProgram: Runner = ([program = '', ...args]) =>
  new Promise((resolve) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: 16 * 1024 * 1024 };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null || typeof error.code === 'number') resolve({ code: child.exitCode, stdout, stderr });
      else if (error.code === 'ENOENT') resolve({ code: 127, stdout, stderr: `program not found: ${program}` });
      else if (error.code !== undefined && error.code !== null)
        resolve({ code: 126, stdout, stderr: `${program}: ${error.message}` });
      else
        resolve({ code: null, stdout, stderr: error.killed ? `it did not end within ${TIMEOUT_MS / 1000} s` : stderr });
    });
  });

/** `systemctl start` waits for READY=1, and during boot for the units before it. */
const TIMEOUT_MS = 180_000;

/** Resolves with the standard output; rejects where the program fails. */
export async function mustRun(run: Runner, argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(argv);
  if (code === 0) return stdout;
  const output = (stderr || stdout).trim();
  throw new UserError(
    `\`${argv.join(' ')}\` failed (${code === null ? 'killed by a signal' : `exit code ${code}`})${output === '' ? '' : `: ${output.replaceAll('\n', '\n  ')}`}`,
  );
}
