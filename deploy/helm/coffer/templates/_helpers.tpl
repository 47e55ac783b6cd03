{{- define "coffer.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "coffer.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "coffer.labels" -}}
{{ include "coffer.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "coffer.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ required "image.tag or image.digest says which version to run" .Values.image.tag }}{{ end }}
{{- end }}

{{/* The configuration of the server. Its relative paths are below /etc/coffer. */}}
{{- define "coffer.config" -}}
{{- $config := dict "domain" .Values.domain "listen" "0.0.0.0:8443" "public_port" (toString .Values.publicPort) "store" "/var/lib/coffer/coffer.db" "audit_file" "/var/lib/coffer/audit.log" }}
{{- if .Values.rootKey.secret }}
{{- if .Values.config.seal }}{{ fail "rootKey.secret and config.seal contradict each other: one of them keeps the root key" }}{{ end }}
{{- $_ := set $config "root_key_file" "root.key" }}
{{- else if not .Values.config.seal }}{{ fail "rootKey.secret or config.seal has to say what keeps the root key" }}
{{- end }}
{{- if and .Values.tls.certificateSecret (not .Values.tls.authoritySecret) }}
{{- $_ := set $config "tls" (dict "certificate_file" "tls.crt" "key_file" "tls.key") }}
{{- else if and .Values.tls.authoritySecret (not .Values.tls.certificateSecret) }}
{{- $_ := set $config "tls" (dict "authority_file" "ca.pem" "authority_key_file" "ca.key") }}
{{- else }}{{ fail "tls needs one of certificateSecret and authoritySecret" }}
{{- end }}
{{- if .Values.metrics.enabled }}
{{- $_ := set $config "admin" (dict "listen" "0.0.0.0:9443" "token_file" "admin.token") }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $config) }}
{{- end }}

{{- define "coffer.container" -}}
image: {{ include "coffer.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .Values.resources | nindent 2 }}
{{- end }}
