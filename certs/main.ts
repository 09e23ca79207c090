/** `npm run certs`: see `npm run certs -- --help`. */
import { run } from './run.ts';

process.exitCode = await run(process.argv.slice(2), {
  now: new Date(),
  print: (text) => process.stdout.write(text),
  complain: (text) => process.stderr.write(text),
});
