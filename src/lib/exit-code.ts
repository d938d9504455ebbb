/** Exit codes of every command (`status --check` alone has those of a Nagios plugin); scripts rely on them. */
export const EXIT = {
  ok: 0,
  /** It did not work, or for `status`: some tunnel is not up. */
  failed: 1,
  usage: 2,
  notRunning: 3,
  noSuchTunnel: 4,
  /** A dry run would change something. */
  wouldChange: 10,
  /** EX_CONFIG of sysexits.h: the configuration is invalid. */
  config: 78,
} as const;
