const PATIENCE_MS = 30_000;

/** Asks until it is so: a real API server takes some milliseconds to hear of what was changed. @throws after 30 s */
export async function until<T>(read: () => Promise<T>, isSo: (found: T) => boolean): Promise<T> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await read();
    if (isSo(found)) return found;
    if (Date.now() > deadline) throw new Error(`it stays ${JSON.stringify(found)}`);
  }
}
