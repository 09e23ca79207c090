/** Holds answers against the OpenAPI document, as a client would that was generated from it. */
import Schema from 'typebox/schema';
import type { Json, RestAnswer } from '../support/rest.ts';

/** Why this answer is not what the document says, or undefined. */
export function undocumented(
  document: Json,
  method: string,
  path: string,
  { status, headers, body }: RestAnswer,
): string | undefined {
  const operation = operationOf(document, method, path);
  if (operation === undefined) return `there is no ${method} ${path}`;
  const response = operation.responses[status];
  if (response === undefined) return `${method} ${path} is never answered with ${status}`;
  if (response.content === undefined) return body === '' ? undefined : `${status} has no content`;
  const type = String(headers['content-type']).split(';')[0] as string;
  const schema = response.content[type]?.schema;
  if (schema === undefined) return `${status} never is ${type}`;
  return matches(document, schema, body) ? undefined : `${status} is ${JSON.stringify(body)}`;
}

/** Whether a value is what a schema of the document says. */
export function matches(document: Json, schema: object, value: unknown): boolean {
  return Schema.Check({ ...schema, components: document.components }, value);
}

function operationOf(document: Json, method: string, path: string): Json {
  const [pathname = ''] = path.split('?');
  for (const [template, operations] of Object.entries<Json>(document.paths)) {
    const pattern = new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]*')}$`);
    if (pattern.test(pathname)) return operations[method.toLowerCase()];
  }
  return undefined;
}
