#!/bin/sh
# Deploys a release that other pipelines deploy as well: clears a lock that a dead job left behind, waits for one
# whose job is alive, and then deploys. Needs curl and Helm, and from the environment:
#   RELEASE, NAMESPACE, CHART   what to deploy, and where
#   LOCKKEEPER                  such as https://lockkeeper.lockkeeper.svc:8443
#   LOCKKEEPER_CA               file with the authority of its certificate
#   TOKEN                       of the cluster, such as kubectl create token prints
#   JOB                         what to call this job in helm history, in a line of at most 200 characters
#   WAIT_SECONDS, WAIT_PIECE    how long to wait in all, and in one request; 1200 and 50 if they are not set
# Its arguments are handed on to helm upgrade.
set -eu

lock="$LOCKKEEPER/api/v1/namespaces/$NAMESPACE/locks/$RELEASE"
end=$(($(date +%s) + ${WAIT_SECONDS:-1200}))

# Sets $status; what is answered goes to standard error, for the log of the job.
ask() {
  answer=$(curl --silent --show-error --retry 5 --retry-connrefused --write-out '\n%{http_code}' \
    --cacert "$LOCKKEEPER_CA" --header "Authorization: Bearer $TOKEN" "$@")
  printf '%s\n' "$answer" >&2
  status=$(printf '%s' "$answer" | tail -n 1)
}

while :; do
  ask --request DELETE --get --data-urlencode "reason=$JOB" "$lock"
  case $status in
    200 | 404) break ;; # it was stale, and is cleared; or there is none
    409) ;;             # its holder may be at work: it is left alone
    *) exit 1 ;;
  esac
  # In pieces, so that no proxy takes the connection for dead, and a lock that turns stale meanwhile is cleared.
  ask "$lock/wait?timeout=${WAIT_PIECE:-50}"
  case $status in
    204) break ;;
    409) [ "$(date +%s)" -lt "$end" ] || exit 1 ;;
    *) exit 1 ;;
  esac
done

exec helm upgrade --install "$RELEASE" "$CHART" --namespace "$NAMESPACE" "$@"
