/** Loaded into a replica before anything else (`--import`): its machine's clock is wrong by ADVERSARY_SKEW_MS. */
const skewMs = Number(process.env.ADVERSARY_SKEW_MS ?? 0);
const RealDate = Date;

class SkewedDate extends RealDate {
  constructor(...args: [] | [value: number | string]) {
    if (args.length === 0) super(RealDate.now() + skewMs);
    else super(...(args as [number]));
  }

  static override now(): number {
    return RealDate.now() + skewMs;
  }
}

globalThis.Date = SkewedDate as DateConstructor;
