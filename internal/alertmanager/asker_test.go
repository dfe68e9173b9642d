package alertmanager_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/alertmanager"
	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/mapping"
)

// source says what it was made to say, and lists alerts.
type source struct {
	verdicts map[string]alertmanager.Verdict
	alerts   []alertmanager.Alert
	asked    []string
	labels   map[string]map[string]string
}

func (s *source) Check(_ context.Context, fps []string, labels map[string]map[string]string) (map[string]alertmanager.Verdict, string) {
	s.asked, s.labels = fps, labels
	return s.verdicts, "because"
}

// CheckTold knows nothing that Check does not.
func (s *source) CheckTold(ctx context.Context, fps []string, labels map[string]map[string]string) (map[string]alertmanager.Verdict, string) {
	return s.Check(ctx, fps, labels)
}

func (s *source) Names(address string) bool { return address == "http://configured" }

func (s *source) AnyFiring(_ context.Context, match func(alertmanager.Alert) bool) (alertmanager.Verdict, string) {
	if slices.ContainsFunc(s.alerts, match) {
		return alertmanager.Firing, "because"
	}
	return alertmanager.Gone, "because"
}

func (s *source) Identity() string { return "here" }

// voucher lists the externalURLs that are vouched for.
type voucher []string

func (v voucher) Vouches(source, externalURL string) bool {
	return source == "here" && slices.Contains(v, externalURL)
}

// Listed is what a survey saw.
func (v voucher) Listed(source, fp string) bool { return source == "here" && fp == "surveyed" }

func member(fp string, firing bool, held bool) *incident.Member {
	m := &incident.Member{
		Alert:  incident.Alert{Fingerprint: fp, Labels: incident.PairsOf(template.KV{"alertname": "A", "id": fp})},
		Origin: mapping.OriginAlertmanager, Firing: firing, ExternalURL: "http://am-0",
	}
	if held {
		m.Late = &incident.Late{Until: time.Date(2026, 11, 21, 10, 0, 5, 0, time.UTC)}
	}
	return m
}

func TestAskAboutMembers(t *testing.T) {
	const firing, gone, uncertain = alertmanager.Firing, alertmanager.Gone, alertmanager.Uncertain
	in := func() *incident.Incident {
		return &incident.Incident{Members: map[string]*incident.Member{
			"a": member("a", true, false), "b": member("b", true, false),
			"held": member("held", false, true), "over": member("over", false, false),
		}}
	}
	foreign := in()
	foreign.Members["a"].Origin = mapping.OriginTest
	elsewhere := in()
	elsewhere.Members["a"].ExternalURL, elsewhere.Members["held"].ExternalURL = "http://elsewhere", "http://elsewhere"
	named := in()
	named.Members["held"].ExternalURL = "http://configured"
	surveyed := &incident.Incident{Members: map[string]*incident.Member{"surveyed": member("surveyed", true, false)}}
	surveyed.Members["surveyed"].ExternalURL = "http://elsewhere"
	peer := in()
	peer.Members["held"].ExternalURL, peer.Members["held"].Ended.By = "http://am-1", "http://am-0"
	for _, tc := range []struct {
		name     string
		in       *incident.Incident
		question incident.Question
		verdicts map[string]alertmanager.Verdict
		asked    []string
		want     incident.Verdict
	}{
		{"late firing", in(), incident.QuestionLate, map[string]alertmanager.Verdict{"held": firing}, []string{"held"}, incident.VerdictFiring},
		{"late gone", in(), incident.QuestionLate, map[string]alertmanager.Verdict{"held": gone}, []string{"held"}, incident.VerdictGone},
		{"late uncertain", in(), incident.QuestionLate, map[string]alertmanager.Verdict{"held": uncertain}, []string{"held"}, incident.VerdictUncertain},
		{"late without a held member", &incident.Incident{}, incident.QuestionLate, nil, nil, incident.VerdictUncertain},
		{"stale, one fires", in(), incident.QuestionStale, map[string]alertmanager.Verdict{"a": gone, "b": firing}, []string{"a", "b"}, incident.VerdictFiring},
		{"stale, all gone", in(), incident.QuestionStale, map[string]alertmanager.Verdict{"a": gone, "b": gone}, []string{"a", "b"}, incident.VerdictGone},
		{"stale, one uncertain", in(), incident.QuestionStale, map[string]alertmanager.Verdict{"a": gone, "b": uncertain}, []string{"a", "b"}, incident.VerdictUncertain},
		{"stale, one not answered", in(), incident.QuestionStale, map[string]alertmanager.Verdict{"a": gone}, []string{"a", "b"}, incident.VerdictUncertain},
		{"stale, one of another origin", foreign, incident.QuestionStale, map[string]alertmanager.Verdict{"a": gone, "b": gone}, nil, incident.VerdictUncertain},
		{"stale, one from an Alertmanager that cannot be asked", elsewhere, incident.QuestionStale, map[string]alertmanager.Verdict{"a": gone, "b": gone}, []string{"a", "b"}, incident.VerdictUncertain},
		{"late, from an Alertmanager that cannot be asked", elsewhere, incident.QuestionLate, map[string]alertmanager.Verdict{"held": gone}, []string{"held"}, incident.VerdictUncertain},
		{"late, from a peer of the one that ended it", peer, incident.QuestionLate, map[string]alertmanager.Verdict{"held": gone}, []string{"held"}, incident.VerdictGone},
		{"late, from an Alertmanager that is configured by its externalURL", named, incident.QuestionLate, map[string]alertmanager.Verdict{"held": gone}, []string{"held"}, incident.VerdictGone},
		{"open, one fires", in(), incident.QuestionOpen, map[string]alertmanager.Verdict{"a": gone, "b": firing}, []string{"a", "b"}, incident.VerdictFiring},
		{"open, all gone", in(), incident.QuestionOpen, map[string]alertmanager.Verdict{"a": gone, "b": gone}, []string{"a", "b"}, incident.VerdictGone},
		{"open, from an Alertmanager that cannot be asked", elsewhere, incident.QuestionOpen, map[string]alertmanager.Verdict{"a": gone, "b": gone}, []string{"a", "b"}, incident.VerdictUncertain},
		{"open, of which a survey has seen this very alert", surveyed, incident.QuestionOpen, map[string]alertmanager.Verdict{"surveyed": gone}, []string{"surveyed"}, incident.VerdictGone},
		{"no such question", in(), "weather", nil, nil, incident.VerdictUncertain},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &source{verdicts: tc.verdicts}
			got, why := alertmanager.NewAsker(s, nil, voucher{"http://am-0"}).Ask(t.Context(), tc.question, tc.in)
			if got != tc.want {
				t.Errorf("verdict: got %s (%s), want %s", got, why, tc.want)
			}
			if diff := cmp.Diff(tc.asked, s.asked); diff != "" {
				t.Errorf("asked about (-want +got):\n%s", diff)
			}
			for _, fp := range s.asked {
				if got := s.labels[fp]["id"]; got != fp {
					t.Errorf("labels of %s: got those of %q", fp, got)
				}
			}
			if why == "" {
				t.Error("no reason given")
			}
		})
	}
}

func TestAskAboutSiblings(t *testing.T) {
	m, err := mapping.New(mapping.Config{
		Services: []string{"ops"},
		Rules: []mapping.Rule{
			{Name: "labels", Matchers: []string{`by="labels"`}, Service: "ops", Options: mapping.Options{Dedup: &mapping.Dedup{By: mapping.DedupBy{Labels: []string{"cluster"}}}}},
			{Name: "group", Matchers: []string{`by="group"`}, Service: "ops", Options: mapping.Options{Dedup: &mapping.Dedup{By: mapping.DedupBy{Mode: "group"}}}},
			{Name: "receiver", Matchers: []string{`by="receiver"`}, Service: "ops", Options: mapping.Options{Dedup: &mapping.Dedup{By: mapping.DedupBy{Key: "{{ .Receiver }}"}}}},
			{Name: "rest", Service: "ops"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const groupKey = `{}:{cluster="c1"}`
	fresh := func(receiver string, labels template.KV) *incident.Incident {
		obs := m.Route(&mapping.Group{
			Data: template.Data{
				Receiver: receiver, GroupLabels: template.KV{"cluster": "c1"},
				Alerts: template.Alerts{{Status: "resolved", Labels: labels, Fingerprint: "00000000000000ff"}},
			},
			GroupKey: groupKey,
		})
		o := obs[0]
		return &incident.Incident{
			ID: incident.ID(o.Service, o.DedupKey), Subject: incident.Subject{Service: o.Service, DedupKey: o.DedupKey, BareKey: o.BareKey, Shared: o.Shared, Receiver: o.Receiver, GroupKey: o.GroupKey, GroupLabels: incident.PairsOf(o.GroupLabels)},
		}
	}
	sum := sha256.Sum256([]byte(groupKey))
	bare := &incident.Incident{
		Subject: incident.Subject{BareKey: true, DedupKey: hex.EncodeToString(sum[:]), Receiver: "r", GroupKey: groupKey, GroupLabels: incident.PairsOf(template.KV{"cluster": "c1"})},
	}
	alert := func(receivers []string, kv ...string) alertmanager.Alert {
		a := alertmanager.Alert{Fingerprint: "0000000000000001", Labels: map[string]string{"severity": "critical"}, Receivers: receivers}
		for i := 0; i < len(kv); i += 2 {
			a.Labels[kv[i]] = kv[i+1]
		}
		return a
	}
	byLabels := template.KV{"by": "labels", "cluster": "c1", "severity": "critical"}
	byGroup := template.KV{"by": "group", "cluster": "c1", "severity": "critical"}
	r := []string{"r"}
	for _, tc := range []struct {
		name  string
		in    *incident.Incident
		alert alertmanager.Alert
		want  incident.Verdict
	}{
		{"labels, same key", fresh("r", byLabels), alert(r, "by", "labels", "cluster", "c1"), incident.VerdictFiring},
		{"labels, same key of another receiver", fresh("r", byLabels), alert([]string{"other"}, "by", "labels", "cluster", "c1"), incident.VerdictFiring},
		{"labels, not yet dispatched", fresh("r", byLabels), alert(nil, "by", "labels", "cluster", "c1"), incident.VerdictFiring},
		{"labels, another value", fresh("r", byLabels), alert(r, "by", "labels", "cluster", "c2"), incident.VerdictGone},
		{"labels, another rule", fresh("r", byLabels), alert(r, "cluster", "c1"), incident.VerdictGone},
		{"labels, another urgency", fresh("r", byLabels), alert(r, "by", "labels", "cluster", "c1", "severity", "warning"), incident.VerdictGone},
		{"group, same", fresh("r", byGroup), alert(r, "by", "group", "cluster", "c1", "alertname", "B"), incident.VerdictFiring},
		{"group, other group labels", fresh("r", byGroup), alert(r, "by", "group", "cluster", "c2"), incident.VerdictGone},
		{"group, other receiver", fresh("r", byGroup), alert([]string{"x"}, "by", "group", "cluster", "c1"), incident.VerdictGone},
		{"bare key, same group", bare, alert(r, "cluster", "c1"), incident.VerdictFiring},
		{"bare key, other group", bare, alert(r, "cluster", "c2"), incident.VerdictGone},
		{"bare key, other receiver", bare, alert([]string{"x"}, "cluster", "c1"), incident.VerdictGone},
		{
			"receiver's name with what Alertmanager quotes", fresh(`a\\\.b`, template.KV{"by": "receiver", "severity": "critical"}),
			alert([]string{`a\.b`}, "by", "receiver"), incident.VerdictFiring,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &source{alerts: []alertmanager.Alert{tc.alert}}
			if got, _ := alertmanager.NewAsker(s, m, voucher{}).Ask(t.Context(), incident.QuestionSiblings, tc.in); got != tc.want {
				t.Errorf("verdict: got %s, want %s", got, tc.want)
			}
		})
	}
}
