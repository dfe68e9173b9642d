package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pagerelay/pagerelay/internal/incident"
)

// What is read at a start is all that is sound, whichever worker decodes it, and the
// reader may use its buffer again.
func TestDecoderDecodesAllThatIsSound(t *testing.T) {
	const n = 3000 // several batches.
	d := newDecoder(time.Now())
	var value []byte
	for i := range n {
		id := fmt.Sprintf("%032x", i)
		sealed, err := encode(&incident.Incident{ID: id, Subject: incident.Subject{Rule: "all", DedupKey: strings.Repeat("k", 255), Receiver: fmt.Sprint(i % 7)}})
		if err != nil {
			t.Fatal(err)
		}
		value = append(value[:0], sealed...)
		if i%1000 == 500 {
			value[len(value)-2] ^= 1
		}
		d.add([]byte(id), value)
	}
	incidents, err := d.finish()
	for _, damaged := range []int{500, 1500, 2500} {
		if want := fmt.Sprintf("incident %032x: checksum does not match", damaged); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	if !isDamage(err) {
		t.Errorf("%v is not taken for damage", err)
	}
	seen := map[string]bool{}
	for _, in := range incidents {
		var i int
		if _, err := fmt.Sscanf(in.ID, "%x", &i); err != nil || in.Receiver != fmt.Sprint(i%7) || in.Rule != "all" {
			t.Fatal(errors.Join(err, fmt.Errorf("%s has receiver %q and rule %q", in.ID, in.Receiver, in.Rule)))
		}
		seen[in.ID] = true
	}
	if len(incidents) != n-3 || len(seen) != n-3 {
		t.Errorf("%d incidents, of which %d different, want %d", len(incidents), len(seen), n-3)
	}
}

func TestDecoderOfNothing(t *testing.T) {
	if incidents, err := newDecoder(time.Now()).finish(); len(incidents) != 0 || err != nil {
		t.Errorf("%v, %v", incidents, err)
	}
}
