/** Time as an argument: the service gets `systemClock`, the tests one that they turn by hand. */
export interface Clock {
  /** Milliseconds since some moment. Never goes back, whoever sets the machine's clock: for waits. */
  now(): number;
  /** Milliseconds since 1970, as the machine's clock says: for people and for other machines. */
  date(): number;
  /** Calls back once, `ms` from now, unless the returned function is called first. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => Date.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
