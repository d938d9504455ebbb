/**
 * A descriptor that the service manager passes on by name (OpenFile= of systemd.service(5)), or null. sd_listen_fds(3): they are numbered
 * from 3 on, LISTEN_FDS in number, named in LISTEN_FDNAMES, and meant for LISTEN_PID alone.
 */
export function inheritedDescriptor(env: NodeJS.ProcessEnv, pid: number, name: string): number | null {
  if (env['LISTEN_PID'] !== String(pid)) return null;
  const index = (env['LISTEN_FDNAMES'] ?? '').split(':').indexOf(name);
  return index >= 0 && index < Number(env['LISTEN_FDS']) ? 3 + index : null;
}
