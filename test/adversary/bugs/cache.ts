/** The gate decides from what the watch has told, in place of a live read. */
import { plant } from './plant.ts';

const CACHED = `{
      all: async ({ driver, namespace, name }) =>
        registry
          .newestPending()
          .map(({ revision }) => revision)
          .filter(({ release }) => release.driver === driver && release.namespace === namespace && release.name === name),
      async at(release, number) {
        return (await this.all(release)).find((revision) => revision.number === number);
      },
      async neighbours(release, number) {
        const all = await this.all(release);
        return {
          rival: all.find((revision) => revision.number >= number),
          below: all.find((revision) => revision.number < number),
        };
      },
    }`;

plant(
  '/src/service.ts',
  'const handlers = createHandlers({\n    drivers,\n    reader: forDeploys.reader,',
  `const handlers = createHandlers({\n    drivers,\n    reader: ${CACHED},`,
);
