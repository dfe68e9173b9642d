package receiver

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/alertmanager/template"
)

// grafanaVersion is the version of Grafana's own webhook body (Grafana, "Configure the
// webhook notifier").
const grafanaVersion = "1"

// grafana keeps what only Grafana's alerts have as annotations, which links and
// details are made of. The names of fields are in lower case. An annotation of that name that the rule has itself wins.
func grafana(a *template.Alert, fields map[string]json.RawMessage) {
	if a.Annotations == nil {
		a.Annotations = template.KV{}
	}
	for annotation, field := range map[string]string{
		"dashboard_url": "dashboardurl", "panel_url": "panelurl", "silence_url": "silenceurl", "image_url": "imageurl",
	} {
		if v := text(fields[field]); v != "" && a.Annotations[annotation] == "" {
			a.Annotations[annotation] = v
		}
	}
	if v := values(fields); v != "" && a.Annotations["values"] == "" {
		a.Annotations["values"] = v
	}
}

// values is what the rule's queries gave: by their names, or as Grafana words it.
func values(fields map[string]json.RawMessage) string {
	var byName map[string]json.RawMessage
	if json.Unmarshal(fields["values"], &byName) != nil || len(byName) == 0 {
		return text(fields["valuestring"])
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, fmt.Sprintf("%s=%s", name, text(byName[name])))
	}
	return strings.Join(out, ", ")
}
