{{- /*
The settings of each service, by name without its prefix; a test compares them with the services' own models.
*/ -}}

{{- define "onecode.objects-url" -}}
{{- with .root.Values.objectStore -}}
s3://{{ .endpoint }}/{{ .bucket }}/{{ $.folder }}?credentials=/etc/onecode/objects/credentials{{ if not .tls }}&tls=0{{ end }}
{{- end -}}
{{- end -}}

{{- /* Settings that services share. Takes root, service, facts, values. */ -}}
{{- define "onecode.settings.all" -}}
OPS_ADDRESS: 0.0.0.0:7402
NATS_URL: {{ .root.Values.nats.url }}
NATS_SEED_FILE: /etc/onecode/secret/nats.seed
JWKS_FILE: /etc/onecode/public/jwks.json
HOME_DIR: /var/lib/onecode
PROJECT: default
LOG_FORMAT: json
LOG_LEVEL: {{ .values.logLevel }}
{{- if .facts.key }}
KEY_FILE: /etc/onecode/secret/service.key
{{- end }}
{{- if .facts.records }}
{{- if .root.Values.database.existingSecret }}
DATABASE_URL_FILE: /etc/onecode/database/url
{{- else }}
DATABASE_URL: sqlite:////var/lib/onecode/{{ .service }}.db
{{- end }}
{{- end }}
{{- end -}}

{{- define "onecode.settings.ingestion" -}}
GRPC_ADDRESS: 0.0.0.0:7400
HTTP_ADDRESS: 0.0.0.0:7401
OBJECTS_URL: {{ include "onecode.objects-url" (dict "root" .root "folder" "datasets") }}
{{- end -}}

{{- define "onecode.settings.training" -}}
GRPC_ADDRESS: 0.0.0.0:7400
INGESTION_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "ingestion" "port" 7400) }}
REGISTRY_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "registry" "port" 7400) }}
REGISTRY_HTTP_URL: http://{{ include "onecode.address" (dict "root" .root "service" "registry" "port" 7401) }}
DATASETS_URL: {{ include "onecode.objects-url" (dict "root" .root "folder" "datasets") }}
RAY_CPUS: {{ .root.Values.training.ray.cpus | quote }}
{{- with .root.Values.training.ray }}
{{- if eq .mode "address" }}
RAY_ADDRESS: {{ .address }}
{{- else if eq .mode "cluster" }}
RAY_ADDRESS: ray://{{ include "onecode.fullname" $.root }}-ray-head-svc:10001
{{- end }}
{{- end }}
{{- end -}}

{{- define "onecode.settings.registry" -}}
GRPC_ADDRESS: 0.0.0.0:7400
HTTP_ADDRESS: 0.0.0.0:7401
PUBLIC_URL: {{ .root.Values.public.distributionUrl | default (printf "http://%s" (include "onecode.address" (dict "root" .root "service" "registry" "port" 7401))) }}
OBJECTS_URL: {{ include "onecode.objects-url" (dict "root" .root "folder" "models") }}
KEYS_DIR: /etc/onecode/secret
ROOT_FILE: /etc/onecode/public/root.json
FLEET_PUBLIC_KEY_FILE: /etc/onecode/public/fleet.pub
{{- if .root.Values.mlflow.url }}
MLFLOW_URL: {{ .root.Values.mlflow.url }}
{{- if .root.Values.mlflow.existingSecret }}
MLFLOW_TOKEN_FILE: /etc/onecode/mlflow/token
{{- end }}
{{- else }}
MLFLOW_ADDRESS: 127.0.0.1:7413
{{- end }}
{{- end -}}

{{- define "onecode.settings.rollout" -}}
GRPC_ADDRESS: 0.0.0.0:7400
HTTP_ADDRESS: 0.0.0.0:8081
REGISTRY_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "registry" "port" 7400) }}
FLEET_KEY_FILE: /etc/onecode/secret/fleet.key
DISTRIBUTION_URL: {{ .root.Values.public.distributionUrl | default (printf "http://%s" (include "onecode.address" (dict "root" .root "service" "registry" "port" 7401))) }}
EDGE_URL: {{ .root.Values.public.edgeUrl | default (printf "http://%s" (include "onecode.address" (dict "root" .root "service" "rollout" "port" 8081))) }}
{{- if .root.Values.rollout.customResource.enabled }}
CUSTOM_RESOURCES: "true"
{{- end }}
{{- end -}}

{{- define "onecode.settings.inference" -}}
REST_ADDRESS: 0.0.0.0:8000
GRPC_ADDRESS: 0.0.0.0:8001
DISTRIBUTION_URL: http://{{ include "onecode.address" (dict "root" .root "service" "registry" "port" 7401) }}
ROOT_FILE: /etc/onecode/public/root.json
SEGMENT: cloud
ANONYMOUS: "false"
API_TOKEN_SHA256_FILE: /etc/onecode/secret/api-tokens.sha256
{{- /* Of gracePeriodSeconds: 5 for preStop, 5 in which balancers that ask for readiness learn of it, 3 to end after
       the last request; the rest is for requests. */}}
DRAIN_NOTICE_S: "5"
DRAIN_GRACE_S: {{ sub (int .values.gracePeriodSeconds) 13 | quote }}
{{- with include "onecode.connections" . }}
MAX_CONNECTIONS_PER_ADDRESS: {{ . | quote }}
{{- end }}
{{- include "onecode.settings.traces" . | nindent 0 }}
{{- end -}}

{{- /* Of whatever serves predictions. Takes root. */ -}}
{{- define "onecode.settings.traces" -}}
{{- with .root.Values.monitoring.traces -}}
{{- if .otlpEndpoint -}}
OTLP_ENDPOINT: {{ .otlpEndpoint }}
{{- if .existingSecret }}
OTLP_HEADERS_FILE: /etc/onecode/collector/headers
{{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The Secret of those settings, as a list. Takes root. */ -}}
{{- define "onecode.traces-secrets" -}}
{{- with .root.Values.monitoring.traces -}}
{{- if and .otlpEndpoint .existingSecret -}}
- {name: {{ .existingSecret }}, path: collector, items: [{key: headers, path: headers}]}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Connections of one address, where all callers come from the few addresses of a Gateway, an ingress controller or
       a node: as many as in all. Empty: the program's own bound. Takes root, values. */ -}}
{{- define "onecode.connections" -}}
{{- $network := .root.Values.network -}}
{{- if or $network.route.enabled $network.ingress.enabled (ne .values.service.type "ClusterIP") -}}
4096
{{- end -}}
{{- end -}}

{{- define "onecode.settings.console" -}}
HTTP_ADDRESS: 0.0.0.0:8080
INGESTION_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "ingestion" "port" 7400) }}
INGESTION_HTTP_URL: http://{{ include "onecode.address" (dict "root" .root "service" "ingestion" "port" 7401) }}
TRAINING_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "training" "port" 7400) }}
REGISTRY_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "registry" "port" 7400) }}
REGISTRY_HTTP_URL: http://{{ include "onecode.address" (dict "root" .root "service" "registry" "port" 7401) }}
ROLLOUT_ADDRESS: {{ include "onecode.address" (dict "root" .root "service" "rollout" "port" 7400) }}
INFERENCE_URL: http://{{ include "onecode.address" (dict "root" .root "service" "inference" "port" 8000) }}
API_TOKEN_FILE: /etc/onecode/secret/api-token
LOGIN_FILE: /etc/onecode/secret/login-code
PUBLIC_URL: {{ .root.Values.public.consoleUrl }}
LANGUAGE: {{ .root.Values.public.language }}
{{- end -}}

{{- /* The whole environment of a service, by full name, as YAML. Takes root, service, facts, values. */ -}}
{{- define "onecode.environment" -}}
{{- $all := include "onecode.settings.all" . | fromYaml -}}
{{- $own := include (printf "onecode.settings.%s" .service) . | fromYaml -}}
{{- $environment := dict -}}
{{- range $name, $value := merge $own $all -}}
{{- $_ := set $environment (printf "ONECODE_%s_%s" ($.service | upper) $name) $value -}}
{{- end -}}
{{- if eq .service "training" -}}
{{- $_ := set $environment "RAY_AUTH_MODE" "token" -}}
{{- $_ := set $environment "RAY_AUTH_TOKEN_PATH" "/etc/onecode/secret/ray-token" -}}
{{- end -}}
{{- mergeOverwrite $environment .values.env | toYaml -}}
{{- end -}}

{{- /* The Secrets that a service mounts. Takes root, service, facts. */ -}}
{{- define "onecode.service-secrets" -}}
- {name: {{ include "onecode.secret" (dict "root" .root "secret" "public") }}, path: public}
- {name: {{ include "onecode.secret" (dict "root" .root "secret" .service) }}, path: secret}
{{- if and .facts.records .root.Values.database.existingSecret }}
- {name: {{ .root.Values.database.existingSecret }}, path: database, items: [{key: {{ .service }}, path: url}]}
{{- end }}
{{- if .facts.objects }}
- {name: {{ .root.Values.objectStore.existingSecret }}, path: objects}
{{- end }}
{{- if and (eq .service "registry") .root.Values.mlflow.url .root.Values.mlflow.existingSecret }}
- {name: {{ .root.Values.mlflow.existingSecret }}, path: mlflow}
{{- end }}
{{- if eq .service "inference" }}
{{- include "onecode.traces-secrets" . | nindent 0 }}
{{- end }}
{{- end -}}
