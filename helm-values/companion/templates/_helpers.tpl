{{- define "neuralinverse.labels" -}}
app.kubernetes.io/name: neuralinverse
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "neuralinverse.matchLabels" -}}
app.kubernetes.io/name: neuralinverse
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* Path below which the hub is, with a slash at both ends. */}}
{{- define "neuralinverse.baseUrl" -}}
{{- $base := (.Values.hub).baseUrl | default "/" }}
{{- printf "/%s/" ($base | trimAll "/") | replace "//" "/" }}
{{- end }}

{{- define "neuralinverse.secretName" -}}
{{- .Values.custom.neuralinverse.secret.existing | default "neuralinverse" }}
{{- end }}

{{- /* What JupyterHub tells a service that it starts itself. */}}
{{- define "neuralinverse.serviceEnv" -}}
{{- $base := include "neuralinverse.baseUrl" .root }}
{{- $hub := .root.Values.custom.neuralinverse.hubName }}
- name: JUPYTERHUB_API_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $hub }}
      key: hub.services.{{ .service }}.apiToken
- name: JUPYTERHUB_API_URL
  value: http://{{ $hub }}:8081{{ $base }}hub/api
- name: JUPYTERHUB_BASE_URL
  value: {{ $base }}
- name: JUPYTERHUB_SERVICE_NAME
  value: {{ .service }}
- name: JUPYTERHUB_SERVICE_PREFIX
  value: {{ $base }}services/{{ .service }}/
- name: JUPYTERHUB_SERVICE_URL
  value: http://0.0.0.0:8080
- name: JUPYTERHUB_CLIENT_ID
  value: service-{{ .service }}
- name: JUPYTERHUB_OAUTH_CALLBACK_URL
  value: {{ $base }}services/{{ .service }}/oauth_callback
{{- with .root.Values.custom.neuralinverse.region }}
- name: NEURALINVERSE_REGION
  value: {{ . | quote }}
{{- end }}
{{- if ((.root.Values.hub).extraFiles).regions }}
- name: NEURALINVERSE_REGIONS
  value: /etc/neuralinverse/regions/regions.json
{{- end }}
{{- end }}

{{- define "neuralinverse.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "neuralinverse.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "neuralinverse.dnsEgress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
