{{/* What the controller does in namespaces. */}}
{{- define "cfgw.rules.namespaced" -}}
# What users write.
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [list, watch]
# Read one by one too, where somebody else has written a status at the same time.
- apiGroups: [gateway.networking.k8s.io]
  resources: [listenersets, httproutes, grpcroutes, backendtlspolicies]
  verbs: [get, list, watch]
# Of the experimental group; the cluster may be without it.
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xbackends, xbackendtrafficpolicies]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.x-k8s.io]
  resources: [xbackends/status, xbackendtrafficpolicies/status]
  verbs: [patch]
# Certificate authorities of backends: the metadata is watched, those that a BackendTLSPolicy names are read.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- apiGroups: [cloudflare-gateway-controller.io]
  resources: [cloudflaregatewayparameters]
  verbs: [list, watch]
# What people read of each Gateway: creating by server-side apply needs both create and patch.
- apiGroups: [cloudflare-gateway-controller.io]
  resources: [cloudflaregatewaystatuses]
  verbs: [get, list, watch, create, patch]
- apiGroups: [cloudflare-gateway-controller.io]
  resources: [cloudflaregatewaystatuses/status]
  verbs: [patch]
# Gateways are held by a finalizer while anything of them is at Cloudflare.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways/status, listenersets/status, httproutes/status, grpcroutes/status, backendtlspolicies/status]
  verbs: [patch]
# Where traffic ends. A load balancer of our class is read where somebody else has written it at the same time.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services/status]
  verbs: [patch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Services of several clusters; the cluster may be without the kind.
- apiGroups: [multicluster.x-k8s.io]
  resources: [serviceimports]
  verbs: [list, watch]
# Proxies: creating by server-side apply needs both create and patch.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch, delete]
# Those that were made are deleted where they are not wanted any more.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, patch, delete]
# What scales proxies, where parameters ask for it. The cluster may be without the first.
- apiGroups: [autoscaling.k8s.io]
  resources: [verticalpodautoscalers]
  verbs: [get, list, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{ include "cfgw.rules.events" . }}
{{- end -}}

{{- define "cfgw.rules.events" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* Of Secrets the metadata is watched; credentials and certificates are read by name; the Secret of each Gateway's
proxies is written. */}}
{{- define "cfgw.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
{{- end -}}

{{/* Objects that are in no namespace, and what the cluster is asked for. */}}
{{- define "cfgw.rules.cluster" -}}
# Read one by one too, where somebody else has written a status at the same time.
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses/status]
  verbs: [patch]
# Certificate authorities for the whole cluster. Kubernetes lets every ServiceAccount read them, unless somebody has taken that away.
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  verbs: [list, watch]
# The release that the CRDs of the Gateway API are from. Of all CRDs the metadata alone is read.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
# Labels of namespaces decide who may attach routes, and who may have what.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
# Its uid tells this cluster from another one that was given the same installation name.
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
# Whose proxy it is that asks for routes.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
{{- end -}}

{{/* A Role and its binding: a list of the root, a name, a namespace and the name of its rules. */}}
{{- define "cfgw.role" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $namespace := index . 2 -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels:
    {{- include "cfgw.labels" $root | nindent 4 }}
rules:
  {{- include (index . 3) $root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ $namespace }}
  labels:
    {{- include "cfgw.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "cfgw.serviceAccount" $root }}
    namespace: {{ $root.Release.Namespace }}
{{- end -}}

{{/* What the controller keeps for itself in its own namespace. */}}
{{- define "cfgw.rules.own" -}}
# Who leads. A name cannot restrict what is not there yet.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "cfgw.name" . | quote }}]
  verbs: [get, update, watch]
# The certificate authority of the stream to the proxies, which Gateways leave what they have when they go, and the key that
# a broker knows the cluster by.
- apiGroups: [""]
  resources: [secrets]
  resourceNames:
  - {{ printf "%s-authority" (include "cfgw.name" .) | quote }}
  - {{ printf "%s-orphans" (include "cfgw.name" .) | quote }}
  {{- if eq .Values.edge.backend "broker" }}
  - {{ printf "%s-broker-key" (include "cfgw.name" .) | quote }}
  {{- end }}
  verbs: [update]
{{- end -}}
