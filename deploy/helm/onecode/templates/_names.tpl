{{- /* What everything is called. Names end with the component; 40 letters leave room for it. */ -}}
{{- define "onecode.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) .Values.fullnameOverride -}}
{{- $full | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Name of a component's objects; the platform in one pod has the release's own. Takes root, component. */ -}}
{{- define "onecode.name" -}}
{{- if eq .component "platform" -}}
{{- include "onecode.fullname" .root -}}
{{- else -}}
{{- printf "%s-%s" (include "onecode.fullname" .root) (.component | kebabcase) -}}
{{- end -}}
{{- end -}}

{{- /* Labels that select a component's pods; they never change. Takes root, component. */ -}}
{{- define "onecode.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component | kebabcase }}
{{- end -}}

{{- /* Labels of every object. Takes root, component. */ -}}
{{- define "onecode.labels" -}}
{{ include "onecode.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: onecode
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Reference of an image: by digest where there is one. Takes root, image. */ -}}
{{- define "onecode.image" -}}
{{- $path := list .root.Values.imageRegistry .root.Values.imageNamespace .image.name | compact | join "/" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $path .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path (.image.tag | default .root.Values.imageTag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* The values of one workload: those of all, and its own above them, as YAML. Takes root, own. */ -}}
{{- define "onecode.values" -}}
{{- mergeOverwrite (deepCopy .root.Values.workload) (deepCopy .own) | toYaml -}}
{{- end -}}

{{- /* Name of a Secret of `onecode keys create`. Takes root, secret. */ -}}
{{- define "onecode.secret" -}}
{{- printf "%s-%s" .root.Values.secrets.prefix .secret -}}
{{- end -}}
