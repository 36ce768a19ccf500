{{- /*
The one pod shape: Deployments, StatefulSets, the DaemonSet, Ray's pods and the pod of `helm test` come from here, so
every rule of hardening stands once.

Takes: root, component, values (of "onecode.values"); and where they are wanted
  args, command   of the container
  environment     name -> value
  fieldEnvironment  name -> field of the pod
  ports           name -> number
  secrets         list of {name, path, items}: mounted below /etc/onecode/<path>
  home            "claim", "emptyDir" or "" with homePath
  hostPath        a folder of the node instead
  homeOf          name of a variable: each value has a folder of its own on the volume
  sharedMemory    size of /dev/shm
  probes          whether the ops port is asked
  token           whether the pod may ask the API server
  reaper          whether orphans of child processes are collected by the pod's own first process
  spread          whether replicas are spread over zones and hosts
*/ -}}
{{- define "onecode.pod-metadata" -}}
labels:
  # Nothing that changes with the chart's version stands here: it would restart every pod.
  {{- include "onecode.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: onecode
  {{- with mergeOverwrite (dict) .root.Values.commonLabels .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "onecode.pod-spec" -}}
serviceAccountName: {{ include "onecode.name" . }}
automountServiceAccountToken: {{ .token | default false }}
# A Service named onecode-rollout would otherwise inject ONECODE_ROLLOUT_PORT, an unknown setting.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .reaper }}
shareProcessNamespace: true
{{- end }}
terminationGracePeriodSeconds: {{ .values.gracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  {{- if not (kindIs "invalid" .values.fsGroup) }}
  fsGroup: {{ .values.fsGroup }}
  # Not at each start: it would open the keys on the volume to the group.
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
containers:
  - {{- include "onecode.container" . | nindent 4 }}
volumes:
  {{- include "onecode.volumes" . | nindent 2 }}
{{- include "onecode.placement" . }}
{{- end -}}

{{- define "onecode.container" -}}
name: {{ .component }}
image: {{ include "onecode.image" (dict "root" .root "image" .values.image) }}
imagePullPolicy: {{ .root.Values.imagePullPolicy }}
{{- with .command }}
command: {{ toJson . }}
{{- end }}
{{- with .args }}
args: {{ toJson . }}
{{- end }}
{{- if or .environment .fieldEnvironment }}
env:
  {{- range $name, $field := .fieldEnvironment }}
  - name: {{ $name }}
    valueFrom: {fieldRef: {fieldPath: {{ $field }}}}
  {{- end }}
  {{- range $name, $value := .environment }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- with .ports }}
ports:
  {{- range $name, $port := . }}
  - {name: {{ $name }}, containerPort: {{ int $port }}, protocol: TCP}
  {{- end }}
{{- end }}
resources:
  requests:
    {{- toYaml .values.resources.requests | nindent 4 }}
  limits:
    {{- toYaml (merge (deepCopy .values.resources.limits) (pick .values.resources.requests "memory")) | nindent 4 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- if .probes }}
{{- include "onecode.probes" . }}
{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if or .home .hostPath }}
  - name: home
    mountPath: {{ .homePath | default "/var/lib/onecode" }}
    {{- with .homeOf }}
    subPathExpr: $({{ . }})
    {{- end }}
  {{- end }}
  {{- if .sharedMemory }}
  - {name: shared-memory, mountPath: /dev/shm}
  {{- end }}
  {{- range .secrets }}
  - {name: {{ .path }}, mountPath: /etc/onecode/{{ .path }}, readOnly: true}
  {{- end }}
  {{- with .values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* Startup: has it been able to work once, within the budget? Readiness: can it work now? Liveness: does it turn at
       all? The last asks no neighbour, or one dead database would restart everything. */ -}}
{{- define "onecode.probes" }}
startupProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (add (int .values.startupSeconds) 1) 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: ops}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: ops}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
lifecycle:
  # Endpoints are withdrawn meanwhile; then the process hears of it, turns unready, finishes what it has, and ends.
  preStop: {sleep: {seconds: 5}}
{{- end -}}

{{- define "onecode.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: {{ .values.tmpSize }}}
{{- if .hostPath }}
- name: home
  hostPath: {path: {{ .hostPath }}, type: DirectoryOrCreate}
{{- else if eq (.home | default "") "emptyDir" }}
- name: home
  emptyDir: {sizeLimit: {{ .values.storage.size }}}
{{- else if and .home .values.storage.existingClaim }}
- name: home
  persistentVolumeClaim: {claimName: {{ .values.storage.existingClaim }}}
{{- end }}
{{- if .sharedMemory }}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .sharedMemory }}}
{{- end }}
{{- range .secrets }}
- name: {{ .path }}
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- with .values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "onecode.placement" }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.affinity }}
affinity:
  {{- toYaml .values.affinity | nindent 2 }}
{{- else if .spread }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "onecode.selector" . | nindent 14 }}
{{- end }}
{{- if .spread }}
topologySpreadConstraints:
  - topologyKey: topology.kubernetes.io/zone
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "onecode.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{- /* The rest of a StatefulSet's spec. Frozen: selector, serviceName, podManagementPolicy, volumeClaimTemplates. */ -}}
{{- define "onecode.statefulset" -}}
replicas: 1
serviceName: {{ include "onecode.name" . }}
# With the default a pod that never became ready blocks the rollback for ever.
podManagementPolicy: Parallel
revisionHistoryLimit: 5
persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
selector:
  matchLabels:
    {{- include "onecode.selector" . | nindent 4 }}
template:
  metadata:
    {{- include "onecode.pod-metadata" . | nindent 4 }}
  spec:
    {{- include "onecode.pod-spec" . | nindent 4 }}
{{- if not .values.storage.existingClaim }}
volumeClaimTemplates:
  - metadata:
      name: home
      labels:
        {{- include "onecode.selector" . | nindent 8 }}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .values.storage.class }}
      storageClassName: {{ . }}
      {{- end }}
      resources: {requests: {storage: {{ .values.storage.size }}}}
{{- end }}
{{- end -}}
