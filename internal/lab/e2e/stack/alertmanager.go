package stack

import (
	"context"
	"net/http"
	"time"
)

// Alertmanager asks a running Alertmanager.
type Alertmanager struct {
	URL string
	HTTP
}

// Alert is an alert as Alertmanager's API takes it in. Times that are zero are left out.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt,omitzero"`
	EndsAt      time.Time         `json:"endsAt,omitzero"`
}

// Post sends alerts, as Prometheus does.
func (a Alertmanager) Post(ctx context.Context, alerts ...Alert) error {
	return a.JSON(ctx, http.MethodPost, a.URL+"/api/v2/alerts", alerts, nil)
}

// ClusterStatus is the part of GET /api/v2/status about the cluster.
type ClusterStatus struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Peers  []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	} `json:"peers"`
}

// Cluster is what a member says of its cluster.
func (a Alertmanager) Cluster(ctx context.Context) (ClusterStatus, error) {
	var answer struct {
		Cluster ClusterStatus `json:"cluster"`
	}
	err := a.JSON(ctx, http.MethodGet, a.URL+"/api/v2/status", nil, &answer)
	return answer.Cluster, err
}
