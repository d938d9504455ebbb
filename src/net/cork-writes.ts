import type { Writable } from 'node:stream';

/** A function to call before each write: all that is written within one tick goes out in one system call. */
export function corkWrites(socket: Writable): () => void {
  let corked = false;
  const uncork = () => {
    corked = false;
    socket.uncork();
  };
  return () => {
    if (corked) return;
    corked = true;
    socket.cork();
    process.nextTick(uncork);
  };
}
