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

/** What whoever lacks a right is told: the rule to add, and where. */
export function forbidden(username: string, { verb, subresource, namespace }: Right): string {
  const resource = [RESOURCE.resource, subresource].filter(Boolean).join('/');
  const rule = { apiGroups: [RESOURCE.group], resources: [resource], verbs: [verb] };
  const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
  const role =
    namespace === undefined ? 'a ClusterRole' : `a Role in namespace ${namespace}, or a ClusterRole,`;
  return `${username} may not ${verb} ${resource} ${where}. Grant it by this rule in ${role} that is bound to ${username}: ${JSON.stringify(rule)}`;
}
