/** Changes the source of a module as it is loaded, so that a bug needs no trace in `src`. */
import { registerHooks } from 'node:module';

/** @param file the end of the module's path */
export function plant(file: string, from: string, to: string): void {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(file)) return loaded;
      const source = String(loaded.source);
      if (source.split(from).length !== 2) throw new Error(`${file} has changed: plant the bug anew`);
      return { ...loaded, source: source.replace(from, () => to) };
    },
  });
}
