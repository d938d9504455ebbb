import { afterRead } from './lent-memory.ts';

/** Makes a function to call before each write: everything written within one tick, or by one read, leaves in one system call. */
export function corkWrites(socket: { cork(): void; uncork(): void }): () => void {
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };
  return () => {
    if (corked) return;
    corked = true;
    socket.cork();
    afterRead(uncork);
  };
}
