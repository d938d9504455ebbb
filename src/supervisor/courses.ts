import type { Clock } from '../lib/async/clock.ts';
import type { Logger } from '../lib/log/log.ts';
import type { TunnelSpec } from '../model/spec.ts';
import { formatServer } from '../model/state.ts';
import { beginCourse, steer, type Course, type Sight } from './failover.ts';
import { groupBy } from '../lib/maps.ts';

export interface CoursesDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** What is seen of the tunnel of this name. */
  sight(name: string): Sight;
  /** Calls when other servers are to have a tunnel. */
  onOtherServers(): void;
}

/**
 * Which servers of tunnels with `failover` are to have them. Its only timers run while a tunnel with several servers is down, or on its way
 * back.
 */
export function createCourses(deps: CoursesDeps) {
  const steered = new Map<string, Steered>();

  const look = () => {
    let turned = false;
    for (const one of steered.values()) turned = lookAt(one, deps, look) || turned;
    if (turned) deps.onOtherServers();
  };
  return {
    /** The configuration has changed; a tunnel goes on where it runs, whatever its name there was before. */
    begin: (wanted: readonly TunnelSpec[], isRunning: (spec: TunnelSpec) => boolean): void => {
      for (const { cancel } of steered.values()) cancel();
      const before = new Map(steered);
      steered.clear();
      for (const [name, members] of failovers(wanted)) {
        const old = before.get(name);
        const same = old !== undefined && samePolicy(old.members, members);
        steered.set(name, {
          members,
          course: same ? old.course : courseFrom(members, isRunning, lostOne(old, members, deps), deps.clock.now()),
          cancel: () => {},
        });
      }
    },
    /** Of these specs those that are to run. */
    chosen: (wanted: readonly TunnelSpec[]): readonly TunnelSpec[] =>
      wanted.filter(({ name, redundancy }) => {
        const one = redundancy?.mode === 'failover' ? steered.get(redundancy.tunnel) : undefined;
        return one === undefined || one.course.running.has(one.members.findIndex((member) => member.name === name));
      }),
    /** To be called after each change of a tunnel's state. */
    look,
    stop: () => {
      for (const { cancel } of steered.values()) cancel();
      steered.clear();
    },
  };
}

interface Steered {
  readonly members: readonly TunnelSpec[];
  course: Course;
  cancel: () => void;
}

/** Whether other servers are to have the tunnel. */
function lookAt(one: Steered, { clock, log, sight }: CoursesDeps, again: () => void): boolean {
  const { members, course } = one;
  const now = clock.now();
  const policy = members[0]!.redundancy!;
  const next = steer(course, (server) => sight(members[server]!.name), members.length, policy, now);
  one.cancel();
  one.cancel = next.lookAt === null ? () => {} : clock.timer(Math.max(0, next.lookAt - now), again);
  one.course = next.course;
  const servers = (of: Course) => [...of.running.keys()];
  const added = servers(next.course).filter((server) => !course.running.has(server));
  const ended = servers(course).filter((server) => !next.course.running.has(server));
  const named = (of: readonly number[]) => of.map((server) => formatServer(members[server]!)).join(', ');
  const about = { tunnel: policy.tunnel };
  if (added.length > 0)
    log.warn(about, `no server has had the tunnel for ${policy.afterMs / 1000} s: it is tried at ${named(added)} too`);
  if (ended.length > 0)
    log.info(about, `the tunnel is back at ${named(servers(next.course).slice(-1))}, and ends at ${named(ended)}`);
  return added.length > 0 || ended.length > 0;
}

function failovers(wanted: readonly TunnelSpec[]): ReadonlyMap<string, readonly TunnelSpec[]> {
  const chosen = wanted.filter(({ redundancy }) => redundancy?.mode === 'failover');
  return groupBy(chosen, ({ redundancy }) => redundancy!.tunnel);
}

function samePolicy(before: readonly TunnelSpec[], after: readonly TunnelSpec[]): boolean {
  const of = (members: readonly TunnelSpec[]) =>
    JSON.stringify(members.map((member) => [member.name, formatServer(member), member.redundancy]));
  return of(before) === of(after);
}

/** Whether a server that had the tunnel is not among its servers any more, and no other one has it. */
function lostOne(old: Steered | undefined, members: readonly TunnelSpec[], { sight }: CoursesDeps): boolean {
  if (old === undefined) return false;
  const well = [...old.course.running.keys()]
    .map((server) => old.members[server]!)
    .filter(({ name }) => sight(name).well);
  const stays = (one: TunnelSpec) => members.some((member) => formatServer(member) === formatServer(one));
  return well.length > 0 && !well.some(stays);
}

/** What runs goes on, in the order of now; where that would be none that works, the next one is tried at once. */
function courseFrom(
  members: readonly TunnelSpec[],
  isRunning: (spec: TunnelSpec) => boolean,
  next: boolean,
  now: number,
): Course {
  const running = [...members.keys()].filter((server) => isRunning(members[server]!));
  const other = [...members.keys()].find((server) => !running.includes(server));
  const more = (running.length === 0 || next) && other !== undefined ? [other] : [];
  return beginCourse([...running, ...more], members[0]!.redundancy!, now);
}
