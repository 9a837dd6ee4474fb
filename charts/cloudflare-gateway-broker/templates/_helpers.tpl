{{/* Name of everything in the release. */}}
{{- define "broker.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "broker.selector" -}}
app.kubernetes.io/name: cfgw-broker
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "broker.labels" -}}
{{ include "broker.selector" . }}
app.kubernetes.io/component: broker
app.kubernetes.io/part-of: cloudflare-gateway-controller
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "broker.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "broker.name" .) -}}
{{- end -}}

{{- define "broker.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Whether the store is a PostgreSQL. */}}
{{- define "broker.hasPostgres" -}}
{{- if .Values.store.postgres.url }}true{{ end -}}
{{- end -}}

{{/* The store's address, with the authority of its certificate where one is given. */}}
{{- define "broker.store" -}}
{{- if include "broker.hasPostgres" . -}}
{{- $url := .Values.store.postgres.url -}}
{{- if include "broker.hasRoots" .Values.store.postgres.ca -}}
{{- $sign := contains "?" $url | ternary "&" "?" -}}
{{- $mode := contains "sslmode=" $url | ternary "" "sslmode=verify-full&" -}}
{{- printf "%s%s%ssslrootcert=/etc/cfgw/roots/store/%s" $url $sign $mode .Values.store.postgres.ca.key -}}
{{- else -}}
{{- $url -}}
{{- end -}}
{{- else -}}
sqlite:/var/lib/cfgw/broker.db
{{- end -}}
{{- end -}}

{{/* What several replicas need. */}}
{{- define "broker.replicas" -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "broker.hasPostgres" .)) -}}
{{- fail (printf "replicas: Invalid value: %d: must be 0 or 1 with SQLite; set store.postgres.url for several brokers" (int .Values.replicas)) -}}
{{- end -}}
{{- .Values.replicas -}}
{{- end -}}

{{/* The port of PostgreSQL. */}}
{{- define "broker.storePort" -}}
{{- $url := urlParse .Values.store.postgres.url -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default "5432" -}}
{{- end -}}

{{/* The pod's part of the restricted Pod Security Standard, and more. */}}
{{- define "broker.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The container's part. */}}
{{- define "broker.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The port of a URL. */}}
{{- define "broker.portOf" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (eq $url.scheme "http" | ternary "80" "443") -}}
{{- end -}}

{{/* Whether a group of PEM roots is given. */}}
{{- define "broker.hasRoots" -}}
{{- if or .secretName .configMapName }}true{{ end -}}
{{- end -}}

{{/* A volume with PEM roots: a list of its name and the group. */}}
{{- define "broker.rootsVolume" -}}
{{- $name := index . 0 -}}
{{- $roots := index . 1 -}}
- name: {{ $name }}
  {{- if $roots.secretName }}
  secret:
    secretName: {{ $roots.secretName | quote }}
    defaultMode: 0440
  {{- else }}
  configMap:
    name: {{ $roots.configMapName | quote }}
  {{- end }}
{{- end -}}
