import { execFileSync } from 'node:child_process';
import type { TestContext } from 'node:test';

/**
 * Whether this process may make network namespaces. Where it may not the test is skipped, which says why; but under CI, where
 * nobody would miss it, it fails.
 */
export function mayBuildNetworks(t: TestContext): boolean {
  let why = 'this is not root on Linux';
  if (process.platform === 'linux' && process.getuid?.() === 0) {
    try {
      execFileSync('ip', ['netns', 'add', `tl${process.pid}-try`], { stdio: 'pipe' });
      execFileSync('ip', ['netns', 'delete', `tl${process.pid}-try`], { stdio: 'pipe' });
      return true;
    } catch (error) {
      why = String(error);
    }
  }
  const message = `this test needs Linux, and root who may make network namespaces: ${why}`;
  if (process.env['CI'] === 'true') throw new Error(message);
  t.skip(message);
  return false;
}
