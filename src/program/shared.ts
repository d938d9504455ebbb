/** What all commands need of the program. */
export interface Shared {
  /** Makes commander's action of a command: its answer becomes the exit code. */
  run<A extends unknown[]>(action: (...args: A) => Promise<number>): (...args: A) => Promise<void>;
  /** What --config names, else null. */
  config(): string | null;
  /** The arguments of `tunneld run` that are not tunneld's own but those of ssh. */
  readonly sshArguments: readonly string[];
}
