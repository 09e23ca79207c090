/**
 * Checks what is in a path and a query against its schema. Strict where a framework's conversions are kind:
 * `1e3` and `0x10` are no numbers, nothing may be given twice, and each field that is wrong is named, up to a number of them.
 */
import type Type from 'typebox';
import { Compile } from 'typebox/compile';
import { printable } from '../printable.ts';
import { Problem } from './problem.ts';
import { MUST_BE } from './schemas.ts';

export interface FieldError {
  readonly in: 'path' | 'query' | 'body';
  readonly field: string;
  readonly problem: string;
}

type Field = Type.TSchema & {
  readonly default?: unknown;
  readonly type?: string;
  readonly [MUST_BE]?: string;
};
type Fields = Readonly<Record<string, Field>>;

/** Answers are short, whatever was sent: so many characters of a value, and so many faults. */
const MAX_SHOWN = 60;
const MAX_FAULTS = 8;

/** What Fastify asks of a validator compiler: a function that returns the checked value, or an error. */
export function compileValidator({ schema, httpPart }: { schema: unknown; httpPart?: string | undefined }) {
  const place = httpPart === 'params' ? 'path' : 'query';
  const { properties } = schema as { properties: Fields };
  // What every object inherits, such as `constructor`, is no field.
  const fields: Fields = Object.assign(Object.create(null), properties);
  const checks = new Map(Object.entries(fields).map(([name, field]) => [name, Compile(field)]));

  /** The value of a field, if it is one that may be given, and as it must be. */
  function checkedValue(name: string, text: string | string[]): unknown {
    const field = fields[name];
    const value = field && convert(field, text);
    return checks.get(name)?.Check(value) ? value : undefined;
  }

  return (given: unknown) => {
    const values: Record<string, unknown> = {};
    const errors: FieldError[] = [];
    for (const [name, text] of Object.entries(given as Record<string, string | string[]>)) {
      const value = checkedValue(name, text);
      if (value !== undefined) {
        values[name] = value;
        continue;
      }
      const problem = problemWith(fields[name], text, fields);
      errors.push({ in: place, field: printable(name.slice(0, MAX_SHOWN)), problem });
      if (errors.length === MAX_FAULTS) break;
    }
    for (const [name, { default: fallback }] of Object.entries(fields)) {
      if (fallback !== undefined) values[name] ??= fallback;
    }
    return errors.length === 0 ? { value: values } : { error: badRequest(errors) };
  };
}

export function badRequest(errors: readonly FieldError[]): Problem {
  const detail = errors.map(({ field, problem }) => `${field} ${problem}`).join('; ');
  return new Problem(400, detail, { errors });
}

function convert({ type }: Field, text: string | string[]): unknown {
  if (type === 'integer') return /^(0|[1-9]\d*)$/.test(String(text)) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' || (text === 'false' ? false : text);
  return text;
}

function problemWith(field: Field | undefined, text: string | string[], fields: Fields): string {
  const names = Object.keys(fields);
  if (field === undefined) {
    return names.length === 0
      ? 'is unknown: this call takes no parameters'
      : `is unknown here: there are ${names.join(', ')}`;
  }
  if (Array.isArray(text)) return `is given ${text.length} times, but must be given once`;
  const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return `is ${printable(JSON.stringify(shown))}, but must be ${field[MUST_BE]}`;
}
