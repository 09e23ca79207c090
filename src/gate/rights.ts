/** Rights to locks, in RBAC's terms. */

export const RESOURCE = { group: 'lockkeeper.dev', resource: 'releaselocks' } as const;

/** What somebody wants to do. */
export interface Right {
  readonly verb: 'get' | 'list' | 'watch' | 'delete';
  /** `force`, for clearing a live lock. */
  readonly subresource?: 'force';
  /** All namespaces if it is left out. */
  readonly namespace?: string;
  /** The release. */
  readonly name?: string;
}

/** The right to clear a live lock, in words. */
export const FORCE_RIGHT = 'the right to delete releaselocks/force, which a namespace admin usually has';

/** What clients are told if they lack a right: the rule to add, and where. */
export function forbidden(username: string, { verb, subresource, namespace }: Right): string {
  const resource = [RESOURCE.resource, subresource].filter(Boolean).join('/');
  const rule = { apiGroups: [RESOURCE.group], resources: [resource], verbs: [verb] };
  const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
  const role =
    namespace === undefined ? 'a ClusterRole' : `a Role in namespace ${namespace}, or a ClusterRole,`;
  const others = subresource === 'force' ? ' A namespace admin usually may.' : '';
  return `${username} may not ${verb} ${resource} ${where}.${others} Grant it by this rule in ${role} that is bound to ${username}: ${JSON.stringify(rule)}`;
}
