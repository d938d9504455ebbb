import { execFileSync } from 'node:child_process';

/** When these sources were made, by which the same sources make the same files: SOURCE_DATE_EPOCH, else the last commit, else now. */
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
