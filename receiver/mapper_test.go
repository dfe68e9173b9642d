package receiver_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/mapping"
	"github.com/pagerelay/pagerelay/receiver"
)

// TestCapturesThroughMapping sends the captures through the real mapping: what
// each alert of each becomes, in the file's order.
func TestCapturesThroughMapping(t *testing.T) {
	mapper, err := mapping.New(mapping.Config{
		Rules: []mapping.Rule{
			{Name: "critical", Matchers: []string{`severity="critical"`}, Service: "sre"},
			{Name: "rest", Service: "office"},
		},
		Services: []string{"sre", "office"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(capture(t, "../routed.txt")) {
		name, outcome, _ := strings.Cut(strings.TrimSpace(line), ": ")
		want[name] = outcome
	}
	entries, err := os.ReadDir("testdata/captures")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		d := newDoor(t, receiver.Config{})
		if err := d.recv.SetPolicy(mapper, receiver.Access{}); err != nil {
			t.Fatal(err)
		}
		d.wantMetric(`pagerelay_alerts_total{rule="critical",status="firing"} 0`)
		w := d.post(capture(t, e.Name()))
		outcome := []string{w.Result().Status[:3]}
		for _, o := range d.sink.stored() {
			outcome = append(outcome, strings.Join([]string{o.Rule, o.Alert.Status, string(o.Urgency), o.Receiver}, " "))
		}
		got[e.Name()] = strings.Join(outcome, ", ")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}
