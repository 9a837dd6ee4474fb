{{/* Name of everything in the release. */}}
{{- define "cfgw.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Its name at Cloudflare. A default would give every cluster the same. */}}
{{- define "cfgw.installation" -}}
{{- required "installation: Required value: name this cluster, such as --set installation=my-cluster, as no other cluster that uses the same Cloudflare account is named" .Values.installation -}}
{{- end -}}

{{- define "cfgw.selector" -}}
app.kubernetes.io/name: cfgw-controller
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cfgw.labels" -}}
{{ include "cfgw.selector" . }}
app.kubernetes.io/component: controller
app.kubernetes.io/part-of: cloudflare-gateway-controller
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "cfgw.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "cfgw.name" .) -}}
{{- end -}}

{{- define "cfgw.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{/* Where proxies reach the controller, which is also the audience of their tokens. */}}
{{- define "cfgw.stream" -}}
{{- printf "%s.%s.svc:8443" (include "cfgw.name" .) .Release.Namespace -}}
{{- end -}}

{{/* Namespaces of a list, with commas between them, with the release's and that of the credentials; empty for all. A list
of the root and the list. */}}
{{- define "cfgw.namespaces" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
{{- $all := append . $root.Release.Namespace -}}
{{- with $root.Values.credentials.secretNamespace -}}
{{- $all = append $all . -}}
{{- end -}}
{{- $all | uniq | sortAlpha | join "," -}}
{{- end -}}
{{- end -}}

{{/* Namespaces that are watched. Values that an earlier chart did not have may be missing (--reuse-values). */}}
{{- define "cfgw.watchedNamespaces" -}}
{{- include "cfgw.namespaces" (list . (.Values.watch).namespaces) -}}
{{- end -}}

{{/* Namespaces whose Secrets are read: those that are watched, unless others are listed. */}}
{{- define "cfgw.secretNamespaces" -}}
{{- include "cfgw.namespaces" (list . (.Values.secrets.namespaces | default (.Values.watch).namespaces)) -}}
{{- end -}}

{{/* The pod's part of the restricted Pod Security Standard, and more. */}}
{{- define "cfgw.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The container's part. */}}
{{- define "cfgw.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The port of a URL. */}}
{{- define "cfgw.portOf" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (eq $url.scheme "http" | ternary "80" "443") -}}
{{- end -}}

{{/* The base URLs of brokers, with commas between. */}}
{{- define "cfgw.brokerUrls" -}}
{{- $url := .Values.edge.broker.url -}}
{{- kindIs "slice" $url | ternary $url (list $url) | join "," -}}
{{- end -}}

{{/* Whether a group of PEM roots is given. */}}
{{- define "cfgw.hasRoots" -}}
{{- if or .secretName .configMapName }}true{{ end -}}
{{- end -}}

{{/* A volume with PEM roots: a list of its name and the group. */}}
{{- define "cfgw.rootsVolume" -}}
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
