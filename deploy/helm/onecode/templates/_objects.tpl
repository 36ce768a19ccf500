{{- /* Objects that every component has: an account and a Service. Both take root, component, values. */ -}}
{{- define "onecode.metadata" -}}
name: {{ include "onecode.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "onecode.labels" . | nindent 2 }}
{{- end -}}

{{- define "onecode.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "onecode.metadata" . | nindent 2 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}

{{- /* Takes ports besides: name -> number. */ -}}
{{- define "onecode.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "onecode.metadata" . | nindent 2 }}
  {{- with .values.service.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ .values.service.type }}
  selector:
    {{- include "onecode.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := .servicePorts }}
    - name: {{ $name }}
      port: {{ int $port }}
      targetPort: {{ $name }}
      {{- if contains "grpc" $name }}
      appProtocol: kubernetes.io/h2c
      {{- end }}
    {{- end }}
{{- end -}}
