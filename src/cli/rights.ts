/** The rights that a command needs, and who usually has them. */

export interface Right {
  readonly verb: string;
  /** With its subresource, as in RBAC. */
  readonly resource: string;
  /** The empty string is the core group. */
  readonly group: string;
  /** Undefined is all of them. */
  readonly namespace: string | undefined;
}

/** What clearing a live lock takes, beside what clearing a stale one takes. */
export function forceRight(namespace: string): Right {
  return { verb: 'delete', resource: 'releaselocks/force', group: 'lockkeeper.dev', namespace };
}

/** As an API server takes it in a review. */
export function attributesOf({ verb, resource, group, namespace }: Right) {
  const [plural = '', subresource] = resource.split('/');
  return {
    verb,
    group,
    resource: plural,
    ...(subresource !== undefined && { subresource }),
    ...(namespace !== undefined && { namespace }),
  };
}

const REFUSAL =
  /cannot (?<verb>\w+) resource "(?<resource>[^"]+)" in API group "(?<group>[^"]*)"(?: in the namespace "(?<namespace>[^"]*)")?/;

/** The right that an API server says is missing; undefined if that is not what it says. */
export function missingRight(message: string): Right | undefined {
  const found = REFUSAL.exec(message)?.groups;
  if (found === undefined) return undefined;
  const { verb = '', resource = '', group = '', namespace } = found;
  return { verb, resource, group, namespace };
}

/** `the right to delete releaselocks.lockkeeper.dev in namespace prod, which the role edit usually has` */
export function rightInWords(right: Right): string {
  const { verb, resource, group, namespace } = right;
  // A subresource is written as in the rule that grants it; there is no other way that kubectl would know.
  const what = group === '' || resource.includes('/') ? resource : `${resource}.${group}`;
  const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
  const role = usualRole(right);
  return `the right to ${verb} ${what} ${where}${role ? `, which the role ${role} usually has` : ''}`;
}

const READS = ['get', 'list', 'watch'];

/** Of the roles that Kubernetes gives to people for a namespace, the least one; Lockkeeper's chart adds to these. */
function usualRole({ verb, resource, group }: Right): 'view' | 'edit' | 'admin' | undefined {
  if (group !== '' && group !== 'lockkeeper.dev') return undefined;
  switch (resource) {
    case 'releaselocks/force':
      return 'admin';
    case 'releaselocks':
    case 'configmaps':
      return READS.includes(verb) ? 'view' : 'edit';
    case 'secrets':
      return 'edit';
    default:
      return undefined;
  }
}
