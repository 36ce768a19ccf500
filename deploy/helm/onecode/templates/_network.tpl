{{- /* Peers of a rule; an empty list means everybody, which NetworkPolicy says by leaving the key out.
       Takes direction ("to" or "from"), peers. */ -}}
{{- define "onecode.peers" -}}
{{- with .peers }}
{{ $.direction }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The pods of a component as a peer. Takes root, component. */ -}}
{{- define "onecode.peer" -}}
- podSelector:
    matchLabels:
      {{- include "onecode.selector" . | nindent 6 }}
{{- end -}}

{{- /* Port of a URL or of host:port. Takes url, default. */ -}}
{{- define "onecode.port" -}}
{{- $host := (splitList "/" (last (splitList "://" .url))) | first -}}
{{- if contains ":" $host -}}{{ last (splitList ":" $host) }}{{- else -}}{{ .default }}{{- end -}}
{{- end -}}

{{- /* Neighbours outside of the release that a component asks: a list of {peers, ports}. Takes root, component. */ -}}
{{- define "onecode.neighbours" -}}
{{- $values := .root.Values -}}
{{- $to := $values.network.policy.to -}}
{{- $facts := dict -}}
{{- if eq $values.deployment "services" -}}
{{- $facts = index (include "onecode.services" . | fromYaml) .component | default dict -}}
{{- end -}}
{{- $found := list -}}
{{- if $facts -}}
{{- $found = append $found (dict "peers" $to.nats "ports" (list (include "onecode.port" (dict "url" $values.nats.url "default" 4222) | int))) -}}
{{- end -}}
{{- if $facts.objects -}}
{{- $found = append $found (dict "peers" $to.objectStore "ports" (list (include "onecode.port" (dict "url" $values.objectStore.endpoint "default" (ternary 443 80 $values.objectStore.tls)) | int))) -}}
{{- end -}}
{{- if and $facts.records $values.database.existingSecret -}}
{{- $found = append $found (dict "peers" $to.database "ports" (list (int $values.database.port))) -}}
{{- end -}}
{{- if and (eq .component "registry") $values.mlflow.url -}}
{{- $found = append $found (dict "peers" $to.mlflow "ports" (list (include "onecode.port" (dict "url" $values.mlflow.url "default" (ternary 443 80 (hasPrefix "https:" $values.mlflow.url))) | int))) -}}
{{- end -}}
{{- if and (has .component (list "inference" "edge-agent")) $values.monitoring.traces.otlpEndpoint -}}
{{- $url := $values.monitoring.traces.otlpEndpoint -}}
{{- $found = append $found (dict "peers" $to.collector "ports" (list (include "onecode.port" (dict "url" $url "default" (ternary 443 80 (hasPrefix "https:" $url))) | int))) -}}
{{- end -}}
{{- if and (eq .component "rollout") $values.rollout.customResource.enabled -}}
{{- $found = append $found (dict "peers" $to.kubernetes "ports" (list 443 6443)) -}}
{{- end -}}
{{- if and (eq .component "training") (eq $values.training.ray.mode "address") -}}
{{- $found = append $found (dict "peers" $to.ray "ports" list) -}}
{{- end -}}
{{- if eq .component "edge-agent" -}}
{{- range $url := list ($values.edgeAgent.serverUrl | default $values.public.edgeUrl) $values.public.distributionUrl | compact -}}
{{- $found = append $found (dict "peers" list "ports" (list (include "onecode.port" (dict "url" $url "default" (ternary 443 80 (hasPrefix "https:" $url))) | int))) -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{- /* Ports of a component that people, programs and gateways outside of the release may reach. Takes root, component. */ -}}
{{- define "onecode.open-ports" -}}
{{- $ports := list -}}
{{- range $face, $where := include "onecode.faces" . | fromYaml -}}
{{- if eq $where.component $.component -}}
{{- $ports = append $ports (int $where.port) -}}
{{- end -}}
{{- end -}}
{{- if eq .component "edge-agent" -}}
{{- $ports = list 8000 8001 -}}
{{- end -}}
{{- toYaml $ports -}}
{{- end -}}
