{{/* Labels of every object. Call with (dict "root" $ "component" "gateway"). */}}
{{- define "linkspan.labels" -}}
linkerd.io/extension: multicluster
component: {{ .component }}
app.kubernetes.io/name: linkspan
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: linkspan
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "linkspan.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The shared trust domain, or this cluster's own below it. */}}
{{- define "linkspan.trustDomain" -}}
{{- if and .Values.clusterName (eq .Values.identity.source "linkerd") }}
{{- fail "clusterName gives this cluster a trust domain of its own; with identity.source linkerd the trust domain is Linkerd's: leave clusterName empty" }}
{{- end }}
{{- with .Values.clusterName }}{{ . }}.{{ end }}{{ .Values.identityTrustDomain }}
{{- end }}
{{- define "linkspan.gatewayIdentity" -}}
{{ .Values.gateway.name }}.{{ .Release.Namespace }}.serviceaccount.identity.{{ .Values.linkerdNamespace }}.{{ include "linkspan.trustDomain" . }}
{{- end }}

{{/* Whether there is something for the signer to do: "true" or nothing. */}}
{{- define "linkspan.signerEnabled" -}}
{{- if or .Values.controller.enabled (eq .Values.identity.source "issuer") }}true{{ end }}
{{- end }}

{{/* The accounts of remoteMirrorServiceAccountName, as JSON {"names": [...]}: a string, a string with commas, or a list. */}}
{{- define "linkspan.remoteAccounts" -}}
{{- $names := list }}
{{- if .Values.remoteMirrorServiceAccount }}
{{- if kindIs "string" .Values.remoteMirrorServiceAccountName }}
{{- range splitList "," .Values.remoteMirrorServiceAccountName }}{{ with trim . }}{{ $names = append $names . }}{{ end }}{{ end }}
{{- else }}
{{- $names = .Values.remoteMirrorServiceAccountName }}
{{- end }}
{{- end }}
{{- dict "names" $names | toJson }}
{{- end }}

{{/* What a pod and its container may do: the restricted Pod Security Standard. Without user and group: those that the cluster gives, and else the image's. Call with the root. */}}
{{- define "linkspan.podSecurity" -}}
{{- /* Values that Helm has kept of an older chart have neither. */}}
{{- $runAs := ternary .Values.runAs (dict "UID" 2103 "GID" 2103) (hasKey .Values "runAs") -}}
runAsNonRoot: true
{{- with $runAs.UID }}
runAsUser: {{ int64 . }}
{{- end }}
{{- with $runAs.GID }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
seccompProfile: { type: RuntimeDefault }
{{- end }}
{{- define "linkspan.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Head of a Deployment's spec and of its pods. Call with (dict "root" $ "name" ... "component" ... "values" ... ). */}}
{{- define "linkspan.deploymentHead" -}}
{{- if not (dig "autoscaling" "enabled" false .values) }}
replicas: {{ .values.replicas }}
{{- end }}
revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
selector: { matchLabels: { app: {{ .name }} } }
strategy:
  rollingUpdate:
    {{- /* With every node taken by a pod of its own a new one finds room only when an old one has gone: one of three. Rounded down, so that a single one stays until the next is ready. */}}
    {{- if .root.Values.enablePodAntiAffinity }}
    maxUnavailable: 34%
    {{- else }}
    maxUnavailable: 0
    {{- end }}
    maxSurge: 1
{{- end }}
{{- define "linkspan.podHead" -}}
metadata:
  labels:
    app: {{ .name }}
    {{- include "linkspan.labels" . | nindent 4 }}
    {{- with .root.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # These pods speak mTLS themselves: a proxy in front of them would only be in the way.
    linkerd.io/inject: disabled
    cluster-autoscaler.kubernetes.io/safe-to-evict: "true"
    {{- with .root.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- define "linkspan.podSettings" -}}
serviceAccountName: {{ .name }}
# Kubernetes' variables for every Service of the namespace are not settings of ours.
enableServiceLinks: false
securityContext:
  {{- include "linkspan.podSecurity" .root | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .root.Values.enablePodAntiAffinity .root.Values.nodeAffinity }}
affinity:
  {{- with .root.Values.nodeAffinity }}
  nodeAffinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .root.Values.enablePodAntiAffinity }}
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - labelSelector: { matchLabels: { app: {{ .name }} } }
        topologyKey: kubernetes.io/hostname
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          labelSelector: { matchLabels: { app: {{ .name }} } }
          topologyKey: topology.kubernetes.io/zone
  {{- end }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (merge (dict "labelSelector" (dict "matchLabels" (dict "app" $.name))) .) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- define "linkspan.containerSettings" -}}
image: {{ include "linkspan.image" .root }}
imagePullPolicy: {{ .root.Values.imagePullPolicy }}
securityContext:
  {{- include "linkspan.containerSecurity" .root | nindent 2 }}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- define "linkspan.probes" -}}
startupProbe: { httpGet: { path: /live, port: {{ . }} }, periodSeconds: 1, failureThreshold: 60 }
readinessProbe: { httpGet: { path: /ready, port: {{ . }} }, periodSeconds: 2 }
livenessProbe: { httpGet: { path: /live, port: {{ . }} }, periodSeconds: 10, timeoutSeconds: 5 }
{{- end }}

{{/* Arguments by which gateway and egress get their identity. Call with (dict "root" $). */}}
{{- define "linkspan.identityArgs" -}}
{{- $v := .root.Values }}
- --control-namespace={{ $v.linkerdNamespace }}
- --trust-domain={{ include "linkspan.trustDomain" .root }}
- --anchors=configmap:{{ .root.Release.Namespace }}/linkspan-anchors
{{- if eq $v.identity.source "issuer" }}
- --identity=csr
- --identity-lifetime={{ $v.identity.lifetime }}
- --identity-anchors=configmap:{{ .root.Release.Namespace }}/linkspan-trust
{{- else if eq $v.identity.source "linkerd" }}
- --identity=linkerd
- --identity-anchors=configmap:{{ $v.linkerdNamespace }}/linkerd-identity-trust-roots
- --identity-service=linkerd-identity-headless.{{ $v.linkerdNamespace }}.svc.{{ $v.clusterDomain }}:8080
{{- else }}
- --identity=dir
- --identity-dir=/identity
{{- end }}
{{- end }}
{{/* Call with (dict "root" $ "secret" ...). */}}
{{- define "linkspan.identityMounts" -}}
{{- $source := .root.Values.identity.source }}
{{- if eq $source "linkerd" }}
volumeMounts: [{ name: identity-token, mountPath: /var/run/secrets/tokens, readOnly: true }]
{{- else if ne $source "issuer" }}
volumeMounts: [{ name: identity, mountPath: /identity, readOnly: true }]
{{- end }}
{{- end }}
{{- define "linkspan.identityVolumes" -}}
{{- $source := .root.Values.identity.source }}
{{- if eq $source "linkerd" }}
volumes:
  - name: identity-token
    projected:
      sources: [{ serviceAccountToken: { path: linkerd-identity-token, audience: identity.l5d.io, expirationSeconds: 86400 } }]
{{- else if ne $source "issuer" }}
volumes:
  # Optional: the process says what is missing, and picks it up when it comes.
  - { name: identity, secret: { secretName: {{ .secret }}, optional: true, defaultMode: 0440 } }
{{- end }}
{{- end }}

{{/* A role of one namespace or of all, and who has it. Call with (dict "root" $ "component" ... "name" ... "account" ... "rules" ... "namespace" "" or ...). */}}
{{- define "linkspan.role" -}}
{{- $kind := ternary "Role" "ClusterRole" (ne (.namespace | default "") "") }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rules:
{{ .rules | trimAll "\n" }}
---
{{ include "linkspan.roleBinding" . }}
{{- end }}
{{- define "linkspan.roleBinding" -}}
{{- $kind := ternary "Role" "ClusterRole" (ne (.namespace | default "") "") }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: {{ $kind }}, name: {{ .name }} }
subjects: [{ kind: ServiceAccount, name: {{ .account }}, namespace: {{ .root.Release.Namespace }} }]
{{- end }}
{{/* What is for all namespaces, or with scope.namespaces for those: call with (dict "root" ... "component" ... "name" ... "account" ... "cluster" <rules of what is in no namespace> "rules" <the others> "also" <list of further namespaces>). Begins with "---" where it is not empty. */}}
{{- define "linkspan.scopedRoles" -}}
{{- $part := . }}
{{- if .root.Values.scope.namespaces }}
{{- if ne (trim .cluster) "" }}
---
{{ include "linkspan.role" (merge (dict "rules" .cluster) $part) }}
{{- end }}
{{- range $namespace := concat .root.Values.scope.namespaces (.also | default list) | uniq }}
---
{{ include "linkspan.role" (merge (dict "name" (printf "%s-scope" $part.name) "namespace" $namespace) $part) }}
{{- end }}
{{- else }}
---
{{ include "linkspan.role" (merge (dict "rules" (print .cluster .rules)) $part) }}
{{- end }}
{{- end }}
{{- define "linkspan.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .account }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What keeps a Deployment available: call with (dict "root" $ "name" ... "component" ... "values" ...). */}}
{{- define "linkspan.availability" -}}
{{- if .root.Values.enablePodAntiAffinity }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  # A pod that does not run has nothing to lose: its node may be emptied.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector: { matchLabels: { app: {{ .name }} } }
{{- end }}
{{- if dig "autoscaling" "enabled" false .values }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: {{ .name }} }
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .values.autoscaling.targetCPUUtilizationPercentage }} }
  # Flows stay with the pod that has them: a pod less is a drain.
  behavior: { scaleDown: { stabilizationWindowSeconds: 600 } }
{{- end }}
{{- end }}

{{/* What a process says of itself in GET /stats, in traces and to gateways: its pod, its node, its cluster. */}}
{{- define "linkspan.placeEnv" -}}
- { name: LINKSPAN_POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
- { name: LINKSPAN_NODE_NAME, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
{{- with .Values.telemetry.clusterName | default .Values.clusterName }}
- { name: LINKSPAN_CLUSTER_NAME, value: {{ . | quote }} }
{{- end }}
{{- end }}

{{/* Flags for traces: call with (dict "root" $ "sample" ...). */}}
{{- define "linkspan.traceArgs" -}}
{{- $t := .root.Values.tracing }}
{{- if $t.endpoint -}}
- --trace-endpoint={{ $t.endpoint }}
- --trace-sample={{ .sample }}
- --trace-paths={{ ternary "on" "off" $t.paths }}
{{- end }}
{{- end }}

{{/* Variables for traces, behind those of linkspan.placeEnv: what spans tell of the pod that makes them. */}}
{{- define "linkspan.traceEnv" -}}
{{- $v := .root.Values }}
{{- with $v.tracing }}
{{- if .endpoint -}}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: "k8s.cluster.name={{ $v.telemetry.clusterName | default $v.clusterName | urlquery }},k8s.namespace.name={{ $.root.Release.Namespace }},k8s.pod.name=$(LINKSPAN_POD_NAME),k8s.node.name=$(LINKSPAN_NODE_NAME)"
{{- with .headersSecret.name }}
- { name: OTEL_EXPORTER_OTLP_HEADERS, valueFrom: { secretKeyRef: { name: {{ . }}, key: {{ $v.tracing.headersSecret.key }} } } }
{{- end }}
{{- end }}
{{- end }}
{{- end }}
