/** Why an installation cannot be: the text is for people, and says what to do; `exit` is the program's exit code. */
export class InstallError extends Error {
  readonly exit: number;

  constructor(message: string, exit = 1) {
    super(message);
    this.exit = exit;
  }
}
