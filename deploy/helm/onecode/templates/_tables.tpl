{{- /*
The house in tables: what each service is, who asks whom, and where the public faces are. Everything else loops over them.
*/ -}}

{{- /* records: keeps a database. volume: keeps files besides. key: signs its calls. objects: reads or writes the store.
       one: two at a time would disturb each other. ports: of its Service; ops 7402 is in none. */ -}}
{{- define "onecode.services" -}}
ingestion: {records: true, volume: true, key: false, objects: true, one: true, ports: {grpc: 7400, http: 7401}}
training: {records: true, volume: true, key: true, objects: true, one: true, ports: {grpc: 7400}}
registry: {records: true, volume: true, key: false, objects: true, one: true, ports: {grpc: 7400, http: 7401}}
rollout: {records: true, volume: false, key: true, objects: false, one: true, ports: {grpc: 7400, edge: 8081}}
inference: {records: false, volume: false, key: true, objects: false, one: false, ports: {http: 8000, grpc: 8001}}
console: {records: true, volume: false, key: true, objects: false, one: false, ports: {http: 8080}}
{{- end -}}

{{- /* Every arrow between pods of the release; a NetworkPolicy has one rule for each end of each. Takes root. */ -}}
{{- define "onecode.flows" -}}
{{- $services := eq .root.Values.deployment "services" -}}
flows:
{{- if $services }}
- {from: console, to: ingestion, port: 7400}
- {from: console, to: ingestion, port: 7401}
- {from: console, to: training, port: 7400}
- {from: console, to: registry, port: 7400}
- {from: console, to: registry, port: 7401}
- {from: console, to: rollout, port: 7400}
- {from: console, to: inference, port: 8000}
- {from: training, to: ingestion, port: 7400}
- {from: training, to: registry, port: 7400}
- {from: training, to: registry, port: 7401}
- {from: rollout, to: registry, port: 7400}
- {from: inference, to: registry, port: 7401}
{{- end }}
{{- if .root.Values.smokeTest.enabled }}
- {from: smoke-test, to: {{ ternary "console" "platform" $services }}, port: 8080}
- {from: smoke-test, to: {{ ternary "inference" "platform" $services }}, port: 8000}
{{- end }}
{{- if .root.Values.edgeAgent.enabled }}
- {from: edge-agent, to: {{ ternary "rollout" "platform" $services }}, port: 8081}
- {from: edge-agent, to: {{ ternary "registry" "platform" $services }}, port: {{ ternary 7401 7411 $services }}}
{{- end }}
{{- end -}}

{{- /* The public faces: which component answers at which port, and below which path. Takes root. */ -}}
{{- define "onecode.faces" -}}
{{- $services := eq .root.Values.deployment "services" -}}
console: {component: {{ ternary "console" "platform" $services }}, port: 8080, path: /}
predict: {component: {{ ternary "inference" "platform" $services }}, port: 8000, path: /v2}
predictGrpc: {component: {{ ternary "inference" "platform" $services }}, port: 8001, path: /}
edge: {component: {{ ternary "rollout" "platform" $services }}, port: 8081, path: /edge}
distribution: {component: {{ ternary "registry" "platform" $services }}, port: {{ ternary 7401 7411 $services }}, path: /distribution}
{{- end -}}

{{- /* Every component that has pods, with the values it is made of: one line each. Takes root. */ -}}
{{- define "onecode.components" -}}
{{- if eq .root.Values.deployment "single" }}
platform: single
{{- else }}
{{- range $name, $_ := include "onecode.services" . | fromYaml }}
{{ $name }}: services
{{- end }}
{{- if eq .root.Values.training.ray.mode "cluster" }}
ray: ray
{{- end }}
{{- end }}
{{- if .root.Values.edgeAgent.enabled }}
edge-agent: edgeAgent
{{- end }}
{{- if .root.Values.smokeTest.enabled }}
smoke-test: smokeTest
{{- end }}
{{- end -}}

{{- /* host:port of a service, for its callers. Takes root, service, port. */ -}}
{{- define "onecode.address" -}}
{{- printf "%s:%d" (include "onecode.name" (dict "root" .root "component" .service)) (int .port) -}}
{{- end -}}
