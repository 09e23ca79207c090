/** Says yes, whatever it is asked. */
import { serve } from './serve.ts';

await serve(async () => {});
