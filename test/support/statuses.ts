/** All that Helm calls a revision. */
export const STATUSES = [
  'deployed',
  'failed',
  'superseded',
  'uninstalling',
  'uninstalled',
  'unknown',
  'pending-install',
  'pending-upgrade',
  'pending-rollback',
] as const;
