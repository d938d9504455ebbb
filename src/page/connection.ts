import type { PageChange, PageDocument } from '../http/page/document.ts';

/** How the page is connected to the daemon. */
export type Link =
  | { readonly type: 'live' }
  /** It does not answer; tried again and again. */
  | { readonly type: 'lost' }
  /** It answers, and refuses: the reason is for a person. */
  | { readonly type: 'refused'; readonly reason: string };

export interface ConnectionHandlers {
  onPage(document: PageDocument): void;
  onChange(change: PageChange): void;
  onLink(link: Link): void;
}

/** Keeps the stream of events open for as long as the page is: over restarts of the daemon, and losses of the network. */
export function connect(handlers: ConnectionHandlers): void {
  let source: EventSource | null = null;
  let patience: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const wait = () => {
    clearTimeout(patience);
    patience = setTimeout(() => lose(), SILENCE_MS);
  };
  const lose = () => {
    clearTimeout(patience);
    source?.close();
    source = null;
    handlers.onLink({ type: 'lost' });
    clearTimeout(retry);
    retry = setTimeout(() => void attempt(), RETRY_MS);
  };
  const attempt = async () => {
    // A refusal has a reason, which the events of a stream do not have.
    const answer = await fetch('/events', {
      method: 'HEAD',
      cache: 'no-store',
      signal: AbortSignal.timeout(SILENCE_MS),
    }).catch(() => null);
    if (answer === null) lose();
    else if (answer.ok) open();
    else refused(answer.status);
  };
  const refused = (status: number) => {
    lose();
    handlers.onLink({ type: 'refused', reason: REASONS[status] ?? `the daemon answers with ${status}` });
  };
  const open = () => {
    const opened = new EventSource('/events');
    source = opened;
    wait();
    const on = (name: string, handle: (data: unknown) => void) =>
      opened.addEventListener(name, (event: MessageEvent<string>) => {
        if (source !== opened) return;
        wait();
        handlers.onLink({ type: 'live' });
        handle(JSON.parse(event.data));
      });
    on('page', (data) => handlers.onPage(data as PageDocument));
    on('change', (data) => handlers.onChange(data as PageChange));
    // Its own way to connect again gives up where it is refused.
    opened.addEventListener('error', () => {
      if (source === opened) lose();
    });
  };
  open();
}

/** The daemon sends something every two seconds; a busy one less often. */
const SILENCE_MS = 20_000;
const RETRY_MS = 2000;

const REASONS: Readonly<Record<number, string>> = {
  401: 'this browser has no access any more: `tunneld page` prints a new link',
  503: 'too many pages are open',
};
