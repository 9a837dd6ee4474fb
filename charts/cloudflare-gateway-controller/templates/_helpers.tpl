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

{{/* Namespaces whose Secrets are read, with commas between them; empty for all. */}}
{{- define "cfgw.secretNamespaces" -}}
{{- with .Values.secrets.namespaces -}}
{{- $all := append . $.Release.Namespace -}}
{{- with $.Values.credentials.secretNamespace -}}
{{- $all = append $all . -}}
{{- end -}}
{{- $all | uniq | sortAlpha | join "," -}}
{{- end -}}
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
