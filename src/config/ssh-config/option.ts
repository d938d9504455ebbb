import type { ConfigProblem } from '../../model/config.ts';

/** An effective line of ssh_config. */
export interface SshOption {
  /** The keyword in lower case, with OpenSSH's aliases resolved (`keepalive` is `tcpkeepalive`). */
  readonly key: string;
  /**
   * The arguments without quotes, with tokens and `~` not expanded. Where OpenSSH takes the rest of the line as one text (ProxyCommand,
   * ProxyJump and the other commands), it is the only argument, with its quotes.
   */
  readonly args: readonly string[];
  readonly origin: Origin;
}

/** The position of an option. */
export type Origin = Omit<ConfigProblem, 'message'>;

/** For a message; an argument of a command line has no line. */
export function locationOf({ file, line }: Origin): string {
  return line === 0 ? file : `${file}:${line}`;
}
