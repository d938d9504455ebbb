import type { IncomingMessage } from 'node:http';
import { childController } from '../lib/async/abort.ts';
import type { Clock } from '../lib/async/clock.ts';

/**
 * Fetches a URL and throws away what comes. Rejects for an answer other than 2xx, a certificate that is not trusted, a fourth redirect
 * or one that leaves https, and where it took longer than ten seconds in all, or `signal` was aborted.
 */
export async function fetchOnce(
  url: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const ended = childController(signal);
  let late = false;
  const cancel = clock.timer(PATIENCE_MS, () => {
    late = true;
    ended.abort();
  });
  try {
    let next = new URL(url);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
      const location = await request(next, ended.signal);
      if (location === null) return;
      next = redirected(next, location);
    }
    throw new Error('it redirects again and again');
  } catch (error) {
    throw late ? new Error(`no answer within ${PATIENCE_MS / 1000} s`) : error;
  } finally {
    cancel();
    ended.dispose();
  }
}

const PATIENCE_MS = 10_000;
const MAX_REDIRECTS = 3;
const MAX_BODY = 64 * 1024;

/** The place that it redirects to, or null for an answer. */
async function request(url: URL, signal: AbortSignal): Promise<string | null> {
  // Loaded for those who have a heartbeat.
  const { get } = url.protocol === 'https:' ? await import('node:https') : await import('node:http');
  // It may be too late already while the code was loaded.
  signal.throwIfAborted();
  return await new Promise((resolve, reject) => {
    const outgoing = get(url, { agent: false, headers: { 'user-agent': 'tunneld', connection: 'close' }, signal });
    outgoing.once('error', reject);
    outgoing.once('response', (response: IncomingMessage) => {
      const { statusCode = 0, headers } = response;
      if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
        outgoing.destroy();
        resolve(headers.location);
      } else if (statusCode < 200 || statusCode > 299) {
        outgoing.destroy();
        reject(new Error(`it answers with status ${statusCode}`));
      } else {
        discard(response, resolve);
      }
    });
  });
}

/** An answer is an answer, also where its body is large, or is cut. */
function discard(response: IncomingMessage, resolve: (location: null) => void): void {
  let bytes = 0;
  const done = () => {
    response.destroy();
    resolve(null);
  };
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BODY) done();
  });
  response.once('error', done);
  response.once('close', done);
}

/** Pure: where an answer leads. Throws where that is no web address, or not as safe as the one before. */
export function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from.href) : null;
  if (to === null || !['http:', 'https:'].includes(to.protocol)) throw new Error('it redirects to no web address');
  if (from.protocol === 'https:' && to.protocol !== 'https:') throw new Error('it redirects from https to http');
  return to;
}
