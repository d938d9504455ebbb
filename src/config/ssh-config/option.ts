/** One line of ssh_config that takes effect. */
export interface SshOption {
  /** The keyword in lower case, with OpenSSH's aliases resolved (`keepalive` is `tcpkeepalive`). */
  readonly key: string;
  /**
   * The arguments without their quotes, tokens and `~` not expanded. Where OpenSSH takes the rest of the line as one text
   * (ProxyCommand, ProxyJump and the other commands) it is the only argument, with its quotes.
   */
  readonly args: readonly string[];
  readonly origin: Origin;
}

/** Where something stands. Line and column count from 1; `file` is free text for what came from a command line. */
export interface Origin {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** One thing that is wrong, at its place. */
export interface SshProblem extends Origin {
  readonly message: string;
}
