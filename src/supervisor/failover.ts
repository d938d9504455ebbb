/** The course of a tunnel with several servers of which one is to have it. Servers are numbered, the preferred one first. */
export interface Course {
  /** The servers whose tunnel runs, in order, with the time since when each has been well, or null. Never empty. */
  readonly running: ReadonlyMap<number, number | null>;
  /** Since when none of them has been well, or since the last one was added; null while one is. */
  readonly downSince: number | null;
  /** When later servers lost the tunnel to an earlier one, last. */
  readonly returnedAt: number | null;
  /** How long an earlier server must have been well before the later ones lose the tunnel. */
  readonly patienceMs: number;
}

/** What is seen of the tunnel at one server. */
export interface Sight {
  /** The tunnel is up there, and its connection is not in doubt. */
  readonly well: boolean;
  /** Since when a connection has been silent that is in doubt, or null. */
  readonly silentSince: number | null;
}

interface Policy {
  readonly afterMs: number;
  readonly backMs: number;
}

/** The next course, and when to look again where nothing changes before; null for never. */
interface Steered {
  readonly course: Course;
  readonly lookAt: number | null;
}

/** The course at the start, or after a change of the configuration: `running` has at least one server. */
export function beginCourse(running: Iterable<number>, { backMs }: Policy, now: number): Course {
  const ordered = [...running].toSorted((a, b) => a - b);
  return {
    running: new Map(ordered.map((server) => [server, null])),
    downSince: now,
    returnedAt: null,
    patienceMs: backMs,
  };
}

/**
 * Pure. Where no server has been well for `afterMs`, the next one runs too, and the earlier ones are still tried. Later servers end only
 * where an earlier one has been well for as long as the patience says, without a break; so one that runs is never ended for one that
 * does not, and a server that comes and goes takes nothing from the one that works. The patience doubles each time a server was given
 * the tunnel back and lost it sooner than that. Times are those of the monotonic clock, in milliseconds.
 */
export function steer(
  before: Course,
  sight: (server: number) => Sight,
  servers: number,
  policy: Policy,
  now: number,
): Steered {
  const seen = look(before, sight, now);
  if (seen.downSince !== null) return goOn(seen, servers, policy, now);
  return comeBack(seen, now);
}

function look(before: Course, sight: (server: number) => Sight, now: number): Course {
  const sights = [...before.running].map(([server, since]) => ({ server, since, ...sight(server) }));
  const running = new Map(sights.map(({ server, since, well }) => [server, well ? (since ?? now) : null]));
  if (sights.some(({ well }) => well)) return { ...before, running, downSince: null };
  const silences = sights.flatMap(({ silentSince }) => (silentSince === null ? [] : [silentSince]));
  const since = silences.length === 0 ? now : Math.max(...silences);
  return { ...before, running, downSince: before.downSince ?? since };
}

function goOn(course: Course, servers: number, { afterMs, backMs }: Policy, now: number): Steered {
  const since = course.downSince ?? now;
  const next = Array.from({ length: servers }, (_, server) => server).find((server) => !course.running.has(server));
  if (next === undefined) return { course, lookAt: null };
  if (now < since + afterMs) return { course, lookAt: since + afterMs };
  const { returnedAt, patienceMs } = course;
  const wasEarly = returnedAt !== null && since - returnedAt < patienceMs;
  const ordered = [...course.running, [next, null] as const].toSorted(([a], [b]) => a - b);
  const gone: Course = {
    running: new Map(ordered),
    downSince: now,
    // Judged once.
    returnedAt: null,
    patienceMs: wasEarly
      ? Math.min(2 * patienceMs, Math.max(backMs, MOST_PATIENCE_MS))
      : returnedAt === null
        ? patienceMs
        : backMs,
  };
  return { course: gone, lookAt: course.running.size + 1 < servers ? now + afterMs : null };
}

const MOST_PATIENCE_MS = 3_600_000;

function comeBack(course: Course, now: number): Steered {
  const { running, patienceMs } = course;
  const servers = [...running.keys()];
  const proven = servers.find((server) => {
    const since = running.get(server) ?? null;
    return since !== null && since + patienceMs <= now;
  });
  const kept = proven === undefined ? servers : servers.filter((server) => server <= proven);
  const ended = kept.length < servers.length;
  const next = ended
    ? { ...course, running: new Map([...running].filter(([server]) => kept.includes(server))), returnedAt: now }
    : course;
  // The last one that runs has nothing to take the tunnel from.
  const dues = [...next.running].slice(0, -1).flatMap(([, since]) => (since === null ? [] : [since + patienceMs]));
  return { course: next, lookAt: dues.length === 0 ? null : Math.min(...dues) };
}
