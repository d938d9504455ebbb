import { execFileSync } from 'node:child_process';

/** The time of the sources, for reproducible builds: SOURCE_DATE_EPOCH, else the last commit, else now. */
export function sourceDate(root) {
  const seconds = process.env.SOURCE_DATE_EPOCH ?? lastCommit(root);
  return seconds === null ? new Date() : new Date(Number(seconds) * 1000);
}

function lastCommit(root) {
  try {
    const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', ['log', '-1', '--format=%ct'], options).trim() || null;
  } catch {
    return null; // an archive of the sources has no commits
  }
}
