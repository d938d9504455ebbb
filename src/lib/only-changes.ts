/** Passes a message on where it differs from the one before; null, as in the beginning, means that all is well. */
export function onlyChanges(report: (message: string | null) => void): (message: string | null) => void {
  let last: string | null = null;
  return (message) => {
    if (message === last) return;
    last = message;
    report(message);
  };
}
