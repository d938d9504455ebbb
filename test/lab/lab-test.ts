import { execFileSync } from 'node:child_process';
import type { TestContext } from 'node:test';

/**
 * Whether this process may make network namespaces. Where it may not the test is skipped, which says why; but under CI, where
 * nobody would miss it, it fails.
 */
export function mayBuildNetworks(t: TestContext): boolean {
  obstacle ??= tried();
  if (obstacle === '') return true;
  const message = `this test needs Linux, and root who may make network namespaces: ${obstacle}`;
  if (process.env['CI'] === 'true') throw new Error(message);
  t.skip(message);
  return false;
}

/** What is in the way: nothing, or null where it was not tried yet. */
let obstacle: string | null = null;

function tried(): string {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'this is not root on Linux';
  try {
    execFileSync('unshare', ['--mount', '--net', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'pipe' });
    return '';
  } catch (error) {
    return String(error);
  }
}
