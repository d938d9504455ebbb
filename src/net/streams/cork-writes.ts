import { afterRead } from './lent-memory.ts';

/** `cork` is to be called before each write: everything written within one tick, or by one read, leaves in one system call, or at `uncork`. */
export function corkWrites(socket: { cork(): void; uncork(): void }): { cork(): void; uncork(): void } {
  let corked = false;
  const uncork = () => {
    if (!corked) return;
    corked = false;
    socket.uncork();
  };
  const cork = () => {
    if (corked) return;
    corked = true;
    socket.cork();
    afterRead(uncork);
  };
  return { cork, uncork };
}
