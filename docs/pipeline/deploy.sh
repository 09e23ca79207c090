#!/bin/sh
# Deploys a release that other pipelines deploy as well: clears a lock that a dead job left behind, waits for one
# whose job is alive, and then deploys. Needs curl and Helm, and from the environment:
#   RELEASE, NAMESPACE, CHART   what to deploy, and where
#   LOCKKEEPER                  such as https://lockkeeper.lockkeeper.svc:8443
#   LOCKKEEPER_CA               file with the authority of its certificate
#   TOKEN                       of the cluster, such as kubectl create token prints
#   JOB                         what to call this job in helm history
#   WAIT_SECONDS                how long to wait for a live lock; 600 if it is not set
# Its arguments are handed on to helm upgrade.
set -eu

lock="$LOCKKEEPER/api/v1/namespaces/$NAMESPACE/locks/$RELEASE"

ask() {
  curl --silent --show-error --retry 5 --retry-connrefused \
    --cacert "$LOCKKEEPER_CA" --header "Authorization: Bearer $TOKEN" --write-out '\n' "$@"
}

# Says 200 when it was stale and is cleared, 404 when there is none, 409 when it is live: then it is left alone.
ask --request DELETE --get --data-urlencode "reason=$JOB" "$lock"

# Ends with 204 as soon as nobody deploys; fails with 409 if somebody still does, and says who.
ask --fail-with-body "$lock/wait?timeout=${WAIT_SECONDS:-600}"

exec helm upgrade --install "$RELEASE" "$CHART" --namespace "$NAMESPACE" "$@"
