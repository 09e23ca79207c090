/** Changes the source of a module as it is loaded, so that a bug needs no trace in `src`. */
import { registerHooks } from 'node:module';

/**
 * A process that ends without having loaded the module ends with 1: nothing was planted.
 *
 * @param file the end of the module's path
 */
export function plant(file: string, from: string, to: string): void {
  let isPlanted = false;
  process.once('exit', () => {
    if (isPlanted) return;
    console.error(`${file} was not loaded: plant the bug anew`);
    process.exitCode = 1;
  });
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(file)) return loaded;
      const source = String(loaded.source);
      if (source.split(from).length !== 2) throw new Error(`${file} has changed: plant the bug anew`);
      isPlanted = true;
      return { ...loaded, source: source.replace(from, () => to) };
    },
  });
}
