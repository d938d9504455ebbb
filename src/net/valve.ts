/** A stream that several may keep from being read. */
export interface Valve {
  readonly destroyed: boolean;
  pause(): void;
  /** It is read again when all who have paused it have said so. */
  resume(): void;
}

export function valveOf(stream: { readonly destroyed: boolean; pause(): unknown; resume(): unknown }): Valve {
  let closed = 0;
  return {
    get destroyed() {
      return stream.destroyed;
    },
    pause: () => {
      closed += 1;
      stream.pause();
    },
    resume: () => {
      closed -= 1;
      if (closed === 0 && !stream.destroyed) stream.resume();
    },
  };
}
