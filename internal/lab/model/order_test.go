package model_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/bubble"
	"github.com/pagerelay/pagerelay/mapping"
)

// The routing key is read between the decision to send a trigger and the commit of
// its intent. A resolve that is stored in between supersedes the trigger.
func TestResolveIsStoredWhileItsTriggerIsPrepared(t *testing.T) {
	dir := newDir(t)
	bubble.Test(t, func(t *testing.T) {
		c, err := config.Parse([]byte("services: {infra: {routing_key: "+keyInfra+"}}\n"), dir)
		if err != nil {
			t.Fatal(err)
		}
		pd := newAccount(pagerDuty(0))
		if err := pd.SetFaults([]emulator.Fault{{Do: emulator.DoAnswer, Status: 429, First: 1}}); err != nil {
			t.Fatal(err)
		}
		var s *sidecar
		say := func(status string) {
			body := fmt.Sprintf(`{"version":"4","groupKey":"{}:{}","alerts":[{"status":%q,"labels":{"alertname":"W","severity":"warning"},`+
				`"startsAt":"2000-01-01T00:00:00Z","endsAt":"2000-01-01T00:00:09Z"}]}`, status)
			if rec := post(s.door, []byte(body)); rec.Code != http.StatusOK {
				t.Errorf("a webhook was answered %d: %s", rec.Code, rec.Body)
			}
		}
		var armed atomic.Bool
		s = newSidecar(dir, alone{pd}, settings{config: c, readKey: func() {
			if armed.CompareAndSwap(true, false) {
				say(mapping.Resolved)
			}
		}})
		s.start()
		say(mapping.Firing)
		synctest.Wait()
		armed.Store(true) // the trigger was answered 429, and leaves again in 10 s.
		time.Sleep(time.Hour)
		synctest.Wait()
		if armed.Load() {
			t.Error("the key was not read again: the test tests nothing")
		}
		for _, r := range pd.Requests() {
			if r.Action == "trigger" && r.Code == http.StatusAccepted {
				t.Errorf("a trigger left at %v, after the resolve was stored", r.At)
			}
		}
		s.stop()
	})
}
