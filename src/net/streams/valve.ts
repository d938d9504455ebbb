/** A stream that several parties can pause. */
export interface Valve {
  readonly destroyed: boolean;
  pause(): void;
  /** Resumes the stream when every party that paused it has called this. */
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
