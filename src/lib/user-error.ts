import { EXIT } from './exit-code.ts';

/** Why something cannot be done. The message is for the person who asked, and says what to do. */
export class UserError extends Error {
  /** The exit code of a command that ends with it. */
  readonly exit: number;

  constructor(message: string, exit: number = EXIT.failed, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }

  /** What a command prints on standard error. */
  get lines(): readonly string[] {
    return [`tunneld: ${this.message.replaceAll('\n', '\n  ')}`];
  }
}

/** The command line is wrong: the exit code says so, too. */
export function wrongUsage(message: string, options?: ErrorOptions): UserError {
  return new UserError(message, EXIT.usage, options);
}

/** The result of work, or something else where it cannot be done. */
export async function unlessRefused<T, Otherwise>(work: Promise<T>, otherwise: Otherwise): Promise<T | Otherwise> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof UserError) return otherwise;
    throw error;
  }
}

/** The same of an error of a system call (https://nodejs.org/api/errors.html#class-systemerror); null for a bug. */
export function asUserError(error: unknown): UserError | null {
  if (error instanceof UserError) return error;
  return error instanceof Error && 'syscall' in error ? new UserError(error.message) : null;
}
