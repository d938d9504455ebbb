import { execFile } from 'node:child_process';
import { InstallError } from './install-error.ts';

interface ProgramResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. One that does not exist has the code 127, as in a shell. */
export type Runner = (argv: readonly string[]) => Promise<ProgramResult>;

export const runProgram: Runner = ([program = '', ...args]) =>
  new Promise((resolve) => {
    // A start waits for READY, and what comes before it in the boot.
    const options = { timeout: 180_000, maxBuffer: 16 * 1024 * 1024 };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error !== null && error.code === 'ENOENT')
        resolve({ code: 127, stdout, stderr: `there is no program ${program}` });
      else resolve({ code: child.exitCode, stdout, stderr });
    });
  });

/** The standard output of a program that has to succeed. */
export async function mustRun(run: Runner, argv: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(argv);
  if (code === 0) return stdout;
  const output = (stderr || stdout).trim();
  throw new InstallError(
    `\`${argv.join(' ')}\` ended with ${code ?? 'a signal'}${output === '' ? '' : `: ${output.replaceAll('\n', '\n  ')}`}`,
  );
}
