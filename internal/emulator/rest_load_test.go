package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

func TestConcurrentRESTAndAccount(t *testing.T) {
	e := newEmulator(t, restAccount, emulator.Options{})
	cfg, err := emulator.Parse([]byte("limits: {unlimited: true}" + restAccount))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				for _, path := range []string{"/oncalls", "/services?include[]=integrations", "/schedules/PC1?since=2000-01-01T00:00:00Z", "/maintenance_windows"} {
					if a := get(t, e, path); a.code != http.StatusOK {
						t.Errorf("%s: got %d %s, want 200", path, a.code, a.body)
					}
				}
				wantAccepted(t, e, fmt.Sprintf("%d-%d", w, i))
				if i%5 == 0 {
					if err := e.SetAccount(*cfg); err != nil {
						t.Error(err)
					}
					_ = e.OverrideService("PS1", emulator.ServiceOverride{OnCall: &[]string{"PU2"}})
				}
			}
		})
	}
	wg.Wait()
	if c := e.RESTCounts(); c.Total != 400 || c.ByCode[200] != 400 || c.ByRoute["/oncalls"] != 100 {
		t.Errorf("got counts %+v, want 400 answered", c)
	}
	if n := len(e.Incidents()); n != 100 {
		t.Errorf("got %d incidents, want 100", n)
	}
}

func wantAccepted(t *testing.T, e *emulator.Emulator, dedupKey string) {
	t.Helper()
	if a := post(t, e, triggerBody(key, dedupKey, "critical")); a.code != http.StatusAccepted {
		t.Errorf("got %d %s, want 202", a.code, a.body)
	}
}

// FuzzREST: any query gets JSON that is either what was asked for or an error in
// PagerDuty's shape, and what is covered is between nothing and all.
func FuzzREST(f *testing.F) {
	paths := []string{"/services", "/escalation_policies", "/schedules", "/schedules/PC1", "/v3/schedules", "/v3/schedules/PC2", "/oncalls", "/users", "/users/PU1/notification_rules", "/maintenance_windows"}
	for i, q := range []string{
		"limit=1&offset=9999&total=true", "user_ids[]=PU1&sort_by=name:desc", "include[]=final_schedule&query=%00", "since=0001-01-02T00:00:00Z&until=9999-12-31T23:59:59Z",
		"limit=1000", "include[]=final_schedule&since=2000-01-01&until=2000-01-01T00:00:01&overflow=true", "since=2000-01-01T00:00:00%2B23:59&until=2000-01-01T00:00:00-23:59&earliest=true",
		"include[]=contact_methods&include[]=notification_rules", "urgency=all", "filter=open&service_ids[]=",
	} {
		f.Add(uint(i), q)
	}
	e := newEmulator(f, "limits: {unlimited: true}"+restAccount, emulator.Options{})
	f.Fuzz(func(t *testing.T, path uint, query string) {
		r := httptest.NewRequest(http.MethodGet, paths[path%uint(len(paths))], nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer any")
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, r)
		var v struct {
			Error *struct {
				Message string
				Code    int
			}
			Schedule struct {
				Final struct {
					Coverage *float64 `json:"rendered_coverage_percentage"`
				} `json:"final_schedule"`
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		if w.Code != 200 && (w.Code != 400 || v.Error == nil || v.Error.Code != 2001) || w.Code == 200 && v.Error != nil {
			t.Errorf("%s?%s: got %d %s", r.URL.Path, query, w.Code, w.Body)
		}
		if c := v.Schedule.Final.Coverage; c != nil && !(*c >= 0 && *c <= 100) {
			t.Errorf("%s?%s: got %v %% covered", r.URL.Path, query, *c)
		}
		if q, err := url.ParseQuery(query); err == nil && w.Code == 200 && q.Has("limit") && strings.HasPrefix(q.Get("limit"), "-") {
			t.Errorf("%s?%s: took a negative limit", r.URL.Path, query)
		}
	})
}
