{{/* The head of a policy: a list of the root, its name, `gateways` or `routes`, and the condition under which it holds. What
does not change spec, such as a finalizer, is let through. */}}
{{- define "cfgw.admission.policy" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $routes := eq (index . 2) "routes" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ $name }}
  labels:
    {{- include "cfgw.labels" $root | nindent 4 }}
spec:
  failurePolicy: Fail
  {{- if hasSuffix "-tenants" $name }}
  paramKind:
    apiVersion: cloudflare-gateway-controller.io/v1
    kind: CloudflareGatewayParameters
  {{- end }}
  matchConstraints:
    resourceRules:
      - apiGroups: [gateway.networking.k8s.io]
        apiVersions: ["*"]
        operations: [CREATE, UPDATE]
        resources: {{ $routes | ternary "[httproutes, grpcroutes]" "[gateways]" }}
  matchConditions:
    - name: spec-changes
      expression: request.operation == 'CREATE' || object.spec != oldObject.spec
    {{- with index . 3 }}
    - name: ours
      expression: {{ . | quote }}
    {{- end }}
{{- end -}}

{{/* Variables and validations by the tenants of the class's parameters: a list of the root, the expression of the
hostnames, and their field. They say what domain/src/attachment does. An expression has a budget: what is asked for each
hostname and each pattern is one comparison of ends. */}}
{{- define "cfgw.admission.tenants" -}}
{{- $class := (index . 0).Values.gatewayClass.name -}}
variables:
  - name: labels
    expression: "has(namespaceObject.metadata.labels) ? namespaceObject.metadata.labels : {}"
  - name: entries
    expression: >-
      !has(params.spec.tenants) ? [] : params.spec.tenants.filter(t, !has(t.namespaceSelector) || (
      (!has(t.namespaceSelector.matchLabels) || t.namespaceSelector.matchLabels.all(k,
      k in variables.labels && variables.labels[k] == t.namespaceSelector.matchLabels[k])) &&
      (!has(t.namespaceSelector.matchExpressions) || t.namespaceSelector.matchExpressions.all(e,
      e.operator == 'In' ? e.key in variables.labels && variables.labels[e.key] in e.values :
      e.operator == 'NotIn' ? !(e.key in variables.labels && variables.labels[e.key] in e.values) :
      e.operator == 'Exists' ? e.key in variables.labels : !(e.key in variables.labels)))))
  - name: names
    expression: {{ index . 1 | quote }}
  - name: isLimited
    expression: variables.entries.size() > 0 && has(variables.entries[0].hostnames)
  - name: permitted
    expression: "variables.isLimited ? variables.entries[0].hostnames.map(p, p.lowerAscii()) : []"
  - name: ends
    expression: variables.permitted.filter(p, p.startsWith('*.')).map(p, p.substring(1))
  - name: foreign
    expression: >-
      !variables.isLimited ? [] :
      variables.names.filter(h, !(h in variables.permitted) && !variables.ends.exists(end, h.endsWith(end)))
validations:
  - expression: "!has(params.spec.tenants) || variables.entries.size() > 0"
    messageExpression: >-
      'metadata.namespace: Forbidden: ' + request.namespace +
      ': tenants of GatewayClass {{ $class }} give it nothing; ask the operator for an entry'
  - expression: variables.foreign.size() == 0
    messageExpression: >-
      '{{ index . 2 }}: Invalid value: ' + variables.foreign[0] + ': must be a hostname that tenants of GatewayClass '
      + '{{ $class }} give to namespace ' + request.namespace + '; use another, or ask the operator'
{{- end -}}

{{/* A binding: a list of the root, the name, `tenants` where the class's parameters are asked, and a selector of namespaces. */}}
{{- define "cfgw.admission.binding" -}}
{{- $root := index . 0 -}}
{{- $selector := deepCopy (index . 3) -}}
{{- $watched := include "cfgw.watchedNamespaces" $root | splitList "," | compact -}}
{{- if $watched -}}
{{- $one := dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" $watched -}}
{{- $_ := set $selector "matchExpressions" (append ($selector.matchExpressions | default list) $one) -}}
{{- end -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "cfgw.labels" $root | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
  {{- if index . 2 }}
  # The very object that the controller reads. Where it is missing, the class has none of what it gives.
  paramRef:
    name: {{ $root.Values.gatewayClass.name | quote }}
    namespace: {{ $root.Values.credentials.secretNamespace | default $root.Release.Namespace | quote }}
    parameterNotFoundAction: Allow
  {{- end }}
  {{- with $selector }}
  matchResources:
    namespaceSelector:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}
