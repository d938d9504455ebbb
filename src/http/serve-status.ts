import type { MetricsConfig } from '../model/config.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { StatusDocument } from '../status/document.ts';
import { openHttpServer } from './http-server.ts';
import { createLinks } from './links.ts';
import { createSamples, type Sampled } from './page/samples.ts';
import { PageStream, type PageStreamDeps } from './page/stream.ts';
import { createRoutes } from './routes.ts';
import { readToken } from './token.ts';

export interface ServeStatusDeps extends Pick<PageStreamDeps, 'clock' | 'memory' | 'pasts'> {
  tunnels(): readonly Sampled[];
  /** With `connections` also those that are open. */
  status(connections?: boolean): StatusDocument;
  /** A bug of ours. */
  onError(error: unknown): void;
}

export interface StatusServer {
  /** Something may have changed. */
  changed(): void;
  /** A key for a link that lets one browser in, once; null where none is needed. */
  linkKey(): string | null;
  /** Whether its token is still that of the file. */
  isCurrent(): Promise<boolean>;
  close(): Promise<void>;
}

/** Serves metrics, health and the page to those who have the token, where one is needed. Rejects where that cannot be. */
export async function serveStatus(
  { listen, tokenFile }: MetricsConfig & { readonly listen: Endpoint },
  deps: ServeStatusDeps,
): Promise<StatusServer> {
  const { clock, memory, pasts, status, onError } = deps;
  const token = tokenFile === null ? null : await readToken(tokenFile);
  const links = createLinks(clock);
  const samples = createSamples();
  const sample = () => samples.take(deps.tunnels(), clock.now());
  sample();
  const page = new PageStream({ clock, memory, samples, sample, pasts, status: () => status(true) });
  const policy = { socket: listen.type === 'unix', token };
  const server = await openHttpServer(listen, createRoutes({ policy, links, page, status, onError }), { clock });
  return {
    changed: () => {
      sample();
      page.changed();
    },
    linkKey: () => (token === null ? null : links.create()),
    isCurrent: async () => tokenFile === null || (await readToken(tokenFile).catch(() => null)) === token,
    close: () => server.close(),
  };
}
