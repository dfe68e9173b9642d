package incident_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// maps are labels of every shape that a webhook can bring.
func maps() map[string]template.KV {
	many := template.KV{}
	for i := range 300 {
		many[fmt.Sprintf("label_%d", i)] = strings.Repeat("v", i)
	}
	return map[string]template.KV{
		"none":                        {},
		"one":                         {"alertname": "A"},
		"some":                        {"severity": "critical", "alertname": "DiskFull", "instance": "a:9100"},
		"empty name and value":        {"": "", "a": ""},
		"only an empty name":          {"": ""},
		"values longer than 127":      {"a": strings.Repeat("x", 127), "b": strings.Repeat("y", 128), "c": strings.Repeat("z", 70_000)},
		"quotes and backslashes":      {`a"b`: `c\d`, `\`: `"`, `x`: `\u0041`},
		"what looks like JSON":        {"a": `","b":"`, "{": "}", ":": ","},
		"controls":                    {"a\x00": "b\x1f\x7f", "n": "1\n2\t3"},
		"HTML":                        {"a": "<b>&</b>", "l": "\u2028\u2029"},
		"UTF-8":                       {"k8s.pod name": "Высокая 🔥", "é": "é"},
		"more than fits in one piece": many,
	}
}

func TestPairsHoldWhatTheMapHeld(t *testing.T) {
	for name, kv := range maps() {
		t.Run(name, func(t *testing.T) {
			p := incident.PairsOf(kv)
			if diff := cmp.Diff(kv, p.KV()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var names []string
			for name := range p.All() {
				names = append(names, name)
			}
			for i := 1; i < len(names); i++ {
				if names[i-1] >= names[i] {
					t.Errorf("%q comes before %q", names[i-1], names[i])
				}
			}
		})
	}
}

// An outbox that an earlier version wrote is read, and the other way round.
func TestPackedAlertHasTheJSONOfAlertmanagers(t *testing.T) {
	for name, kv := range maps() {
		t.Run(name, func(t *testing.T) {
			alert := template.Alert{
				Status: "firing", Labels: kv, Annotations: kv, StartsAt: time.Date(2026, 12, 1, 10, 0, 0, 5, time.UTC),
				GeneratorURL: "http://p/graph?a=1&b=<2>", Fingerprint: "00ff",
			}
			want, err := json.Marshal(alert)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(incident.Pack(alert))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var read incident.Alert
			if err := json.Unmarshal(want, &read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(alert, read.Unpack()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if read.Labels != incident.PairsOf(kv) {
				t.Error("what was read is not equal to what was packed")
			}
		})
	}
}

func TestPairsReadAnyJSONObjectOfTexts(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       template.KV
		fails      bool
	}{
		{"null", `null`, template.KV{}, false},
		{"empty", `{}`, template.KV{}, false},
		{"spaces", "{ \"a\" : \"1\" ,\n\"b\":\"2\" }", template.KV{"a": "1", "b": "2"}, false},
		{"not sorted", `{"b":"2","a":"1"}`, template.KV{"a": "1", "b": "2"}, false},
		{"a name twice", `{"a":"1","a":"2"}`, template.KV{"a": "2"}, false},
		{"an empty name twice", `{"":"1","":"2"}`, template.KV{"": "2"}, false},
		{"escapes", `{"a\u0041":"\n"}`, template.KV{"aA": "\n"}, false},
		{"not UTF-8", "{\"a\":\"\xff\"}", template.KV{"a": "\ufffd"}, false},
		{"a number", `{"a":1}`, nil, true},
		{"null in it", `{"a":null}`, template.KV{"a": ""}, false},
		{"an object in it", `{"a":{"b":"c"}}`, nil, true},
		{"a list", `["a"]`, nil, true},
		{"a text", `"a"`, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var p incident.Pairs
			err := json.Unmarshal([]byte(tc.text), &p)
			if (err != nil) != tc.fails {
				t.Fatalf("error %v, want one: %v", err, tc.fails)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tc.want, p.KV()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Whatever JSON can be read as a map of texts is read as the same by Pairs.
func FuzzPairs(f *testing.F) {
	for _, kv := range maps() {
		b, err := json.Marshal(kv)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"b":"2","a":"1","a":"3"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		kv, p := template.KV{}, incident.Pairs{}
		wantErr, err := json.Unmarshal(b, &kv), json.Unmarshal(b, &p)
		if (wantErr != nil) != (err != nil) {
			t.Fatalf("error %v, want %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if kv == nil {
			kv = template.KV{}
		}
		if diff := cmp.Diff(kv, p.KV()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

// Sharing texts changes nothing of what is stored.
func TestSharingChangesNothing(t *testing.T) {
	const stored = `{"id":"1","version":3,"service":"infra","dedup_key":"k","rule":"r","tier":"critical","urgency":"high","severity":"critical",` +
		`"origin":"alertmanager","receiver":"default","external_url":"http://am","group_key":"{}","group_labels":{"alertname":"A"},` +
		`"members":{"fp":{"alert":{"status":"firing","labels":{"alertname":"A"},"annotations":{},"startsAt":"2026-12-01T10:00:00Z",` +
		`"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://p","fingerprint":"fp"},"urgency":"high","origin":"alertmanager","firing":true,` +
		`"last_seen":"2026-12-01T10:00:00Z","external_url":"http://am"}},"revision":1,"epoch":1,"accepted_revision":1,"have_epoch":1,"have":"open",` +
		`"key_hash":"h","created_at":"2026-12-01T10:00:00Z","history":[{"at":"2026-12-01T10:00:00Z","what":"received","text":"fp fires"},` +
		`{"at":"2026-12-01T10:00:00Z","what":"answer","text":"accepted"}]}`
	var sharer incident.Sharer
	for range 2 {
		in := &incident.Incident{}
		if err := json.Unmarshal([]byte(stored), in); err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		sharer.Share(in)
		got, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
