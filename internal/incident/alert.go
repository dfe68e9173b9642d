package incident

import (
	"time"
	"unique"

	"github.com/prometheus/alertmanager/template"
)

// Alert is a template.Alert as a member keeps it, for as long as it is open: the same
// JSON, in a third of the memory.
type Alert struct {
	Status       string    `json:"status"`
	Labels       Pairs     `json:"labels"`
	Annotations  Pairs     `json:"annotations"`
	StartsAt     time.Time `json:"startsAt"`
	EndsAt       time.Time `json:"endsAt"`
	GeneratorURL Text      `json:"generatorURL"`
	Fingerprint  string    `json:"fingerprint"`
}

// Pack makes what a member keeps of an alert.
func Pack(a template.Alert) Alert {
	return Alert{
		Status: a.Status, Labels: PairsOf(a.Labels), Annotations: PairsOf(a.Annotations),
		StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: TextOf(a.GeneratorURL), Fingerprint: a.Fingerprint,
	}
}

// Unpack is the opposite of Pack.
func (a *Alert) Unpack() template.Alert {
	return template.Alert{
		Status: a.Status, Labels: a.Labels.KV(), Annotations: a.Annotations.KV(),
		StartsAt: a.StartsAt, EndsAt: a.EndsAt, GeneratorURL: a.GeneratorURL.String(), Fingerprint: a.Fingerprint,
	}
}

// Text is a text of which many are equal: it is in memory once. Its zero value is "".
type Text struct{ of unique.Handle[string] }

// TextOf makes a Text.
func TextOf(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{of: unique.Make(s)}
}

func (t Text) String() string {
	if t == (Text{}) {
		return ""
	}
	return t.of.Value()
}

// MarshalText writes the text itself.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *Text) UnmarshalText(b []byte) error {
	*t = TextOf(string(b))
	return nil
}
