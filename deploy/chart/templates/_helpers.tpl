{{/* What everything is called. Room is left for the longest ending, -self-test, and for names that DNS allows. */}}
{{- define "lockkeeper.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Never change them: a Deployment's selector is for ever. */}}
{{- define "lockkeeper.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: admission
{{- end -}}

{{/* Helm itself adds app.kubernetes.io/managed-by to what it installs. */}}
{{- define "lockkeeper.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "lockkeeper.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "lockkeeper.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name must be set when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.image" -}}
{{- with .Values.image -}}
{{- $tag := .tag | default $.Chart.AppVersion -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ $tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lockkeeper.authoritySecret" -}}
{{- .Values.tls.authoritySecret | default (printf "%s-ca" (include "lockkeeper.fullname" .)) -}}
{{- end -}}

{{/* The Secret whose tls.crt and tls.key are mounted; empty when Lockkeeper looks after itself. */}}
{{- define "lockkeeper.servingSecret" -}}
{{- if eq .Values.tls.mode "certManager" -}}
{{- include "lockkeeper.fullname" . }}-tls
{{- else if eq .Values.tls.mode "existingSecret" -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Whether Lockkeeper keeps a Secret of its own: its authority, or the path at which it is asked. "true" or empty. */}}
{{- define "lockkeeper.hasOwnSecret" -}}
{{- if or (eq .Values.tls.mode "selfManaged") (not .Values.webhook.path) -}}true{{- end -}}
{{- end -}}

{{/* What was made for this release, and is no part of it, as JSON; what is yours is not in it. */}}
{{- define "lockkeeper.secretsOfUninstall" -}}
{{- $secrets := list -}}
{{- if include "lockkeeper.hasOwnSecret" . -}}
{{- $secrets = append $secrets (include "lockkeeper.authoritySecret" .) -}}
{{- end -}}
{{- if eq .Values.tls.mode "certManager" -}}
{{- $secrets = append $secrets (include "lockkeeper.servingSecret" .) -}}
{{- end -}}
{{- $secrets | toJson -}}
{{- end -}}

{{/* The webhook configuration that Lockkeeper keeps current; empty when there is nothing for it to do. */}}
{{- define "lockkeeper.keptConfiguration" -}}
{{- if or (eq .Values.webhook.arm "whenReady") (eq .Values.tls.mode "selfManaged") -}}
{{- include "lockkeeper.fullname" . -}}
{{- end -}}
{{- end -}}

{{/* Of either form that the value may have. */}}
{{- define "lockkeeper.caBundle" -}}
{{- $bundle := .Values.webhook.caBundle | trim -}}
{{- if contains "-----BEGIN CERTIFICATE-----" $bundle -}}{{ printf "%s\n" $bundle | b64enc }}{{- else -}}{{ $bundle }}{{- end -}}
{{- end -}}

{{/* As JSON. */}}
{{- define "lockkeeper.excludedNamespaces" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.webhook.excludedNamespaces | uniq | toJson -}}
{{- end -}}

{{/* What a schema could say only in words that nobody understands. */}}
{{- define "lockkeeper.validate" -}}
{{- with .Values -}}
{{- if and (eq .tls.mode "certManager") (not .tls.certManager.issuerRef.name) -}}
{{- fail "tls.mode is certManager, so tls.certManager.issuerRef.name must name an issuer of cert-manager" -}}
{{- end -}}
{{- if and (not .webhook.path) (ne .webhook.arm "whenReady") (ne .tls.mode "selfManaged") -}}
{{- fail "webhook.path is empty, so Lockkeeper has to write the path into the webhook configuration, and by these values it writes nothing there: set webhook.arm to whenReady, or webhook.path to a path" -}}
{{- end -}}
{{- if and .webhook.url (not .webhook.path) -}}
{{- fail "webhook.path is empty, so Lockkeeper would have to change webhook.url, which is Helm's: set webhook.path to the path at which reviews come" -}}
{{- end -}}
{{- if and (eq .tls.mode "existingSecret") (not .tls.existingSecret) -}}
{{- fail "tls.mode is existingSecret, so tls.existingSecret must name a Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and (eq .tls.mode "existingSecret") (not .webhook.caBundle) -}}
{{- fail "tls.mode is existingSecret, so webhook.caBundle must hold the authority that signed its certificate: --set-file webhook.caBundle=ca.crt" -}}
{{- end -}}
{{- if and .webhook.caBundle (not .webhook.url) (ne .tls.mode "existingSecret") -}}
{{- fail (printf "webhook.caBundle is kept current by itself when tls.mode is %s: leave it empty" .tls.mode) -}}
{{- end -}}
{{- if and (eq (int .replicas) 0) (not .webhook.url) -}}
{{- fail "replicas is 0, so webhook.url must say where Lockkeeper runs: the gate would ask nobody" -}}
{{- end -}}
{{- if and .test.enabled (has .test.namespace (include "lockkeeper.excludedNamespaces" $ | fromJsonArray)) -}}
{{- fail (printf "test.namespace is %s, in which nobody is asked: name another one that is there, or set test.enabled to false" .test.namespace) -}}
{{- end -}}
{{- if eq (int .config.port) (int .config.metricsPort) -}}
{{- fail (printf "config.metricsPort is %d, but must differ from config.port" (int .config.metricsPort)) -}}
{{- end -}}
{{- if lt (int .terminationGracePeriodSeconds) (add (int .config.drainSeconds) 15 | int) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but must be at least %d: config.drainSeconds, and 15 to answer what is held" (int .terminationGracePeriodSeconds) (add (int .config.drainSeconds) 15)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The webhooks; .armed says whether with their rules.

The labels alone keep nearly everything away from Lockkeeper, at no cost. What bears them and is no record of Helm is kept
away by the match conditions: they look at nothing that may be missing, since an error of CEL would refuse the request or
leave the door open.
*/}}
{{- define "lockkeeper.webhooks" -}}
{{- $root := .root -}}
{{- with .root.Values.webhook }}
webhooks:
  # The gate: new records of Helm. A pending one is a deploy, which may have to wait; any other is a restore or a migration.
  - name: gate.lockkeeper.dev
    {{- include "lockkeeper.webhookClient" $root | nindent 4 }}
    {{- if $.armed }}
    {{- include "lockkeeper.webhookRules" "CREATE" | nindent 4 }}
    {{- end }}
    {{- include "lockkeeper.webhookNamespaces" $root | nindent 4 }}
    objectSelector:
      matchLabels:
        owner: helm
    matchConditions:
      - name: is-a-helm-record
        expression: >-
          (has(object.type) && object.type == 'helm.sh/release.v1')
          || object.metadata.name.startsWith('sh.helm.release.v1.')
    failurePolicy: {{ .failurePolicy }}
    sideEffects: NoneOnDryRun
    timeoutSeconds: {{ int64 .timeoutSeconds }}
  # The guard: the deletion of pending ones. Deleting a record is the emergency exit of old, so it is open when
  # Lockkeeper is not there.
  - name: guard.lockkeeper.dev
    {{- include "lockkeeper.webhookClient" $root | nindent 4 }}
    {{- if $.armed }}
    {{- include "lockkeeper.webhookRules" "DELETE" | nindent 4 }}
    {{- end }}
    {{- include "lockkeeper.webhookNamespaces" $root | nindent 4 }}
    {{- include "lockkeeper.webhookLabels" $root | nindent 4 }}
    matchConditions:
      - name: is-a-helm-record
        expression: >-
          (has(oldObject.type) && oldObject.type == 'helm.sh/release.v1')
          || oldObject.metadata.name.startsWith('sh.helm.release.v1.')
    failurePolicy: Ignore
    sideEffects: None
    timeoutSeconds: 5
  # Updates: the one write with which a deploy ends, or with which somebody else would end it; the write with which an uninstall
  # begins; and labels that make a record of what was none. It is asked about no other write. A deploy must be able to end, so
  # it is open when Lockkeeper is not there.
  - name: updates.lockkeeper.dev
    {{- include "lockkeeper.webhookClient" $root | nindent 4 }}
    {{- if $.armed }}
    {{- include "lockkeeper.webhookRules" "UPDATE" | nindent 4 }}
    {{- end }}
    {{- include "lockkeeper.webhookNamespaces" $root | nindent 4 }}
    objectSelector:
      matchLabels:
        owner: helm
    matchConditions:
      - name: is-a-helm-record
        expression: >-
          {{- include "lockkeeper.isAHelmRecord" . | nindent 10 }}
      - name: ends-or-passes-a-lock
        expression: >-
          {{- include "lockkeeper.endsOrPassesALock" . | nindent 10 }}
      - name: is-not-lockkeeper-nor-kubernetes
        expression: >-
          {{- include "lockkeeper.isNotLockkeeperNorKubernetes" $root | nindent 10 }}
    failurePolicy: Ignore
    sideEffects: NoneOnDryRun
    timeoutSeconds: 5
  {{- if $root.Values.releaseLocks.enabled }}
  # The door: to delete a ReleaseLock is to clear the lock, and nobody but Lockkeeper writes what one says. In all namespaces,
  # since there is one for each lock, wherever it is. Lockkeeper's own writes, and a namespace that goes, do not depend on it.
  - name: releaselocks.lockkeeper.dev
    {{- include "lockkeeper.webhookClient" $root | nindent 4 }}
    {{- if $.armed }}
    rules:
      - operations: [CREATE, UPDATE, DELETE]
        apiGroups: [lockkeeper.dev]
        apiVersions: [v1alpha1]
        resources: [releaselocks]
        scope: Namespaced
    {{- end }}
    matchConditions:
      - name: is-not-lockkeeper-nor-kubernetes
        expression: >-
          {{- include "lockkeeper.isNotLockkeeperNorKubernetes" $root | nindent 10 }}
    failurePolicy: Fail
    sideEffects: NoneOnDryRun
    timeoutSeconds: 10
  {{- end }}
{{- end }}
{{- end -}}

{{/*
The observer of the fence; .armed says whether with its rules. The fence tells nobody what it refuses, but mutating webhooks
are asked before it; so this one is asked about what the fence is about to refuse, and about nothing else.
*/}}
{{- define "lockkeeper.fenceObserver" -}}
{{- $root := .root }}
{{- $was := "oldObject.metadata.?labels[?'status'].orValue('')" }}
{{- $becomes := "object.metadata.?labels[?'status'].orValue('')" }}
webhooks:
  - name: fence.lockkeeper.dev
    {{- include "lockkeeper.webhookClient" $root | nindent 4 }}
    {{- if .armed }}
    {{- include "lockkeeper.webhookRules" "UPDATE" | nindent 4 }}
    {{- end }}
    {{- include "lockkeeper.webhookNamespaces" $root | nindent 4 }}
    objectSelector:
      matchLabels:
        owner: helm
    matchConditions:
      - name: is-a-helm-record
        expression: >-
          {{- include "lockkeeper.isAHelmRecord" . | nindent 10 }}
      - name: is-fenced
        expression: >-
          {{- include "lockkeeper.isFenced" (dict "was" $was "becomes" $becomes) | nindent 10 }}
    failurePolicy: Ignore
    sideEffects: NoneOnDryRun
    timeoutSeconds: 2
{{- end -}}

{{/* In CEL. ConfigMaps have no type; Helm itself looks at neither, but names all its records so. */}}
{{- define "lockkeeper.isAHelmRecord" -}}
dyn(oldObject).?type.orValue('') == 'helm.sh/release.v1'
|| oldObject.metadata.name.startsWith('sh.helm.release.v1.')
{{- end -}}

{{/* In CEL. */}}
{{- define "lockkeeper.isNotLockkeeperNorKubernetes" -}}
!(request.userInfo.username in [
  'system:serviceaccount:{{ .Release.Namespace }}:{{ include "lockkeeper.serviceAccountName" . }}',
  'system:serviceaccount:kube-system:namespace-controller',
  'system:serviceaccount:kube-system:generic-garbage-collector',
  'system:kube-controller-manager'
])
{{- end -}}

{{/* In CEL. Helm finds records by the labels owner and name. */}}
{{- define "lockkeeper.endsOrPassesALock" -}}
(
oldObject.metadata.?labels[?'status'].orValue('') in ['pending-install', 'pending-upgrade', 'pending-rollback']
&& !(
object.metadata.?labels[?'status'].orValue('') in ['pending-install', 'pending-upgrade', 'pending-rollback']
&& object.metadata.?labels[?'owner'].orValue('') == 'helm'
&& object.metadata.?labels[?'name'].orValue('') == oldObject.metadata.?labels[?'name'].orValue('')
)
) || (
object.metadata.?labels[?'status'].orValue('') == 'uninstalling'
&& oldObject.metadata.?labels[?'status'].orValue('') != 'uninstalling'
) || (
object.metadata.?labels[?'owner'].orValue('') == 'helm'
&& oldObject.metadata.?labels[?'owner'].orValue('') != 'helm'
)
{{- end -}}

{{/* In CEL, of what holds the status that a record has, and of what holds the one that it shall have. */}}
{{- define "lockkeeper.isFenced" -}}
(
{{ .becomes }} == 'deployed'
&& {{ .was }} in ['failed', 'superseded', 'uninstalling', 'uninstalled']
) || (
{{ .becomes }} in ['pending-install', 'pending-upgrade', 'pending-rollback']
&& {{ .was }} in ['deployed', 'failed', 'superseded', 'uninstalling', 'uninstalled']
)
{{- end -}}

{{- define "lockkeeper.webhookClient" -}}
admissionReviewVersions: [v1]
clientConfig:
  {{- if .Values.webhook.url }}
  url: {{ printf "%s%s" (.Values.webhook.url | trimSuffix "/" | trimSuffix .Values.webhook.path) .Values.webhook.path | quote }}
  {{- else }}
  service:
    namespace: {{ .Release.Namespace }}
    name: {{ include "lockkeeper.fullname" . }}
    {{- with .Values.webhook.path }}
    path: {{ . }}
    {{- end }}
    port: 8443
  {{- end }}
  {{- with include "lockkeeper.caBundle" . }}
  caBundle: {{ . }}
  {{- end }}
{{- end -}}

{{/* As Lockkeeper itself writes them. */}}
{{- define "lockkeeper.webhookRules" -}}
rules:
  - operations: [{{ . }}]
    apiGroups: [""]
    apiVersions: [v1]
    resources: [secrets, configmaps]
    scope: Namespaced
{{- end -}}

{{- define "lockkeeper.webhookNamespaces" -}}
matchPolicy: Equivalent
namespaceSelector:
  {{- with .Values.webhook.namespaceSelector.matchLabels }}
  matchLabels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ include "lockkeeper.excludedNamespaces" . }}
    {{- with .Values.webhook.namespaceSelector.matchExpressions }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "lockkeeper.webhookLabels" -}}
objectSelector:
  matchLabels:
    owner: helm
  matchExpressions:
    - key: status
      operator: In
      values: [pending-install, pending-upgrade, pending-rollback]
{{- end -}}
