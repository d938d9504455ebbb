import type { ServerResponse } from 'node:http';
import type { Clock } from '../../lib/async/clock.ts';
import type { LogMemory } from '../../lib/log/memory.ts';
import type { Past } from '../../history/summary.ts';
import type { StatusDocument, TunnelStatus } from '../../status/document.ts';
import {
  comparable,
  daemonPart,
  historyPart,
  samplesPart,
  type HistoryPart,
  type PageChange,
  type PageDocument,
} from './document.ts';
import type { Samples } from './samples.ts';

export interface PageStreamDeps {
  readonly clock: Clock;
  readonly memory: Pick<LogMemory, 'recent' | 'follow'>;
  readonly samples: Samples;
  sample(): void;
  /** With the open connections. */
  status(): StatusDocument;
  /** Never rejects. */
  pasts(): Promise<ReadonlyMap<string, Past>>;
}

/** What the page shows, as server-sent events (HTML Standard, section 9.2). One timer serves all who look at it, while there are any. */
export class PageStream {
  readonly #deps: PageStreamDeps;
  readonly #clients = new Map<ServerResponse, Client>();
  #cancel: (() => void) | null = null;
  /** When the timer is due, and when the last event was sent. */
  #due = Number.POSITIVE_INFINITY;
  #sentAt = Number.NEGATIVE_INFINITY;
  #unfollow: (() => void) | null = null;
  #lines: string[] = [];
  #omitted = 0;
  /** What the clients know. */
  #known = new Map<string, string>();
  #step = 0;
  #history: HistoryPart | null = null;
  #outlook = '';
  #historyReadAt = Number.NEGATIVE_INFINITY;
  #isReading = false;
  #newHistory = false;
  /** The first event, for all who come before the next one. */
  #document: Buffer | null = null;

  constructor(deps: PageStreamDeps) {
    this.#deps = deps;
  }

  /** Sends all, and what changes from then on, until the client goes or does not keep up. False where too many look. */
  add(response: ServerResponse): boolean {
    if (this.#clients.size >= MAX_CLIENTS) return false;
    const client: Client = { slowSince: null, allowance: null };
    this.#clients.set(response, client);
    response.on('drain', () => (client.slowSince = null));
    response.once('close', () => this.#remove(response));
    this.#unfollow ??= this.#deps.memory.follow((line) => this.#addLine(line));
    // What it is to show first comes with the next event; by then the history has been read.
    if (this.#history === null) this.#readHistory();
    else this.changed();
    return true;
  }

  /** Something may have changed. Costs nothing without clients. */
  changed(): void {
    if (this.#clients.size > 0) this.#schedule(Math.max(0, this.#sentAt + GAP_MS - this.#deps.clock.now()));
  }

  #remove(response: ServerResponse): void {
    this.#clients.delete(response);
    if (this.#clients.size > 0) return;
    this.#cancel?.();
    this.#cancel = null;
    this.#due = Number.POSITIVE_INFINITY;
    this.#unfollow?.();
    this.#unfollow = null;
    this.#lines = [];
    this.#omitted = 0;
    this.#known = new Map();
    this.#document = null;
    this.#history = null;
    this.#outlook = '';
  }

  #addLine(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > MAX_LINES) {
      this.#lines.shift();
      this.#omitted += 1;
    }
    this.changed();
  }

  #schedule(ms: number): void {
    const { clock } = this.#deps;
    const due = clock.now() + ms;
    if (due >= this.#due) return;
    this.#cancel?.();
    this.#due = due;
    this.#cancel = clock.timer(ms, () => {
      this.#due = Number.POSITIVE_INFINITY;
      this.#cancel = null;
      this.#send();
    });
  }

  #send(): void {
    const { clock } = this.#deps;
    const begun = clock.now();
    this.#deps.sample();
    const status = this.#deps.status();
    const change = this.#changeOf(status);
    const event = eventOf('change', change);
    for (const [response, client] of this.#clients) {
      if (client.allowance !== null) this.#write(response, client, event);
      else if (this.#history !== null) this.#greet(response, client, status);
    }
    this.#sentAt = clock.now();
    // What costs much comes less often: no more than a twentieth of the time is the page's.
    if (this.#clients.size > 0) this.#schedule(Math.max(TICK_MS, 20 * (this.#sentAt - begun)));
  }

  #greet(response: ServerResponse, client: Client, status: StatusDocument): void {
    this.#document ??= this.#documentOf(status);
    client.allowance = this.#document.length + MAX_UNREAD;
    this.#write(response, client, this.#document);
  }

  #documentOf(status: StatusDocument): Buffer {
    const { memory, samples } = this.#deps;
    const document: PageDocument = {
      daemon: daemonPart(status),
      tunnels: status.tunnels,
      history: this.#history!,
      log: memory.recent(MAX_LINES, () => true),
      samples: samplesPart(samples.step(), samples.series(Number.NEGATIVE_INFINITY)),
    };
    return eventOf('page', document);
  }

  /** What is new since the last event, for those who have had it. */
  #changeOf(status: StatusDocument): PageChange {
    const { samples } = this.#deps;
    const now = new Map(status.tunnels.map((tunnel) => [tunnel.name, comparable(tunnel)]));
    const tunnels = status.tunnels.filter(({ name }) => now.get(name) !== this.#known.get(name));
    const names = [...now.keys()];
    const reordered = names.join() !== [...this.#known.keys()].join();
    this.#known = now;
    this.#lookAtHistory(status.tunnels);
    const log = this.#lines;
    const omitted = this.#omitted;
    this.#lines = [];
    this.#omitted = 0;
    const since = this.#step;
    this.#step = samples.step();
    this.#document = null;
    const newHistory = this.#newHistory ? this.#history : null;
    this.#newHistory = false;
    return {
      daemon: daemonPart(status),
      ...(reordered ? { names } : {}),
      ...(tunnels.length === 0 ? {} : { tunnels }),
      ...(newHistory === null ? {} : { history: newHistory }),
      ...(log.length === 0 ? {} : { log }),
      ...(omitted === 0 ? {} : { logOmitted: omitted }),
      samples: samplesPart(this.#step, samples.series(since)),
    };
  }

  /**
   * An outage begins and ends with a change of what these have; it is read from a file, and therefore not more often than needed. A reading that
   * began before such a change may not have it: the next look reads again.
   */
  #lookAtHistory(tunnels: readonly TunnelStatus[]): void {
    if (this.#isReading) return;
    const outlook = JSON.stringify(tunnels.map(outlookOf));
    if (outlook === this.#outlook && this.#history !== null) return;
    if (this.#deps.clock.now() - this.#historyReadAt < HISTORY_GAP_MS && this.#history !== null) return;
    this.#outlook = outlook;
    this.#readHistory();
  }

  #readHistory(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    const { clock, pasts, status } = this.#deps;
    this.#historyReadAt = clock.now();
    void pasts().then((found) => {
      this.#isReading = false;
      if (this.#clients.size === 0) return;
      const names = status().tunnels.map(({ name }) => name);
      const at = clock.wall();
      this.#history = historyPart(found, { names, since: at - SHOWN_MS, at });
      this.#newHistory = true;
      this.#schedule(0);
    });
  }

  /** One that does not take what it is sent is disconnected: it must not pile up in the daemon. */
  #write(response: ServerResponse, client: Client, event: Buffer): void {
    const { clock } = this.#deps;
    const { slowSince, allowance } = client;
    const tooLong = slowSince !== null && clock.now() - slowSince > PATIENCE_MS;
    if (tooLong || response.writableLength > (allowance ?? 0)) {
      response.destroy();
      return;
    }
    if (!response.write(event)) client.slowSince ??= clock.now();
  }
}

interface Client {
  /** Since when it has not taken all that was sent. */
  slowSince: number | null;
  /** So many bytes may wait for it; null until it has had the first event. */
  allowance: number | null;
}

/** So many of the places of the server are left for those who ask for metrics. */
const MAX_CLIENTS = 32;
const MAX_UNREAD = 256 * 1024;
const PATIENCE_MS = 30_000;
/** Without a change: numbers of a connection move on, and who looks knows that the daemon lives. */
const TICK_MS = 2000;
/** Changes that come together are one event. */
const GAP_MS = 250;
const MAX_LINES = 200;
const HISTORY_GAP_MS = 2000;
const SHOWN_MS = 91 * 86_400_000;

function outlookOf({ name, phase, silentSince, forwards }: TunnelStatus) {
  return [
    name,
    phase,
    silentSince === undefined,
    forwards.map(({ state, verified, unverified }) => [state, verified, unverified]),
  ];
}

function eventOf(name: 'page' | 'change', data: PageDocument | PageChange): Buffer {
  return Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}
