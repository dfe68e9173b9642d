package pagerduty_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pagerelay/pagerelay/internal/pagerduty"
)

func TestAnswers(t *testing.T) {
	const (
		jsonType = "application/json"
		htmlType = "text/html; charset=utf-8"
	)
	invalid := func(errs string) string {
		return `{"status":"invalid event","message":"Event object is invalid","errors":[` + errs + `]}`
	}
	for _, tc := range []struct {
		name        string
		code        int
		contentType string
		body        string
		want        pagerduty.Kind
		temporary   bool
		message     string
	}{
		{"accepted", 202, jsonType, `{"status":"success"}`, pagerduty.Accepted, false, ""},
		{"202 empty", 202, "", "", pagerduty.Failed, true, "202 Accepted, not PagerDuty's form of answer"},
		{"202 empty object", 202, jsonType, "{}", pagerduty.Failed, true, "202 Accepted, not PagerDuty's form of answer: {}"},
		{"202 empty status", 202, jsonType, `{"status":""}`, pagerduty.Failed, true, ""},
		{"202 status of another type", 202, jsonType, `{"status":1}`, pagerduty.Failed, true, ""},
		{"202 list", 202, jsonType, `[]`, pagerduty.Failed, true, ""},
		{"202 two values", 202, jsonType, `{"status":"success"}{}`, pagerduty.Failed, true, ""},
		{"202 page", 202, htmlType, "<html>login</html>", pagerduty.Failed, true, "202 Accepted, not PagerDuty's form of answer: a page of HTML"},
		{"200 of PagerDuty's shape", 200, jsonType, `{"status":"success"}`, pagerduty.Failed, true, ""},
		{"200 page of a proxy", 200, htmlType, "<html>login</html>", pagerduty.Failed, true, "200 OK, not PagerDuty's form of answer: a page of HTML"},
		{"201", 201, jsonType, `{"status":"success"}`, pagerduty.Failed, true, ""},
		{"204", 204, "", "", pagerduty.Failed, true, ""},

		{
			"400 severity", 400, jsonType, invalid(`"'payload.severity' is invalid (must be one of the following: critical, error)"`), pagerduty.Refused, false,
			"400 Bad Request: Event object is invalid: 'payload.severity' is invalid (must be one of the following: critical, error)",
		},
		{"400 several", 400, jsonType, invalid(`"'payload.summary' is missing or blank","'payload.source' is missing or blank"`), pagerduty.Refused, false, "400 Bad Request: Event object is invalid: 'payload.summary' is missing or blank; 'payload.source' is missing or blank"},
		{"400 status only", 400, jsonType, `{"status":"invalid event"}`, pagerduty.Refused, false, "400 Bad Request: invalid event"},
		{"400 errors only", 400, jsonType, `{"errors":["too deep"]}`, pagerduty.Refused, false, "400 Bad Request: too deep"},
		{"400 errors as one text", 400, jsonType, `{"status":"invalid event","errors":"too deep"}`, pagerduty.Refused, false, ""},
		{"400 key of wrong length", 400, jsonType, invalid(`"Length of 'routing_key' is incorrect (should be 32 characters)"`), pagerduty.BadKey, false, ""},
		{"400 key of wrong letters", 400, jsonType, invalid(`"'routing_key' cannot contain non-alphanumeric characters."`), pagerduty.BadKey, false, ""},
		{"400 key and more", 400, jsonType, invalid(`"'payload.source' is missing or blank","'routing_key' is missing or blank"`), pagerduty.BadKey, false, ""},
		{"400 key by name of text from an alert", 400, jsonType, invalid(`"'payload.severity' is invalid: 'routing_key'"`), pagerduty.Refused, false, ""},
		{"400 unknown key as text", 400, "text/plain", "Invalid routing key\n", pagerduty.BadKey, false, "400 Bad Request: Invalid routing key"},
		{"400 unknown key, no type", 400, "", "Invalid routing key", pagerduty.BadKey, false, ""},
		{"400 unknown key as JSON text", 400, jsonType, `"Invalid routing key"`, pagerduty.BadKey, false, ""},
		{"400 unknown key as message", 400, jsonType, `{"message":"Invalid routing key"}`, pagerduty.BadKey, false, ""},
		{"400 empty", 400, "", "", pagerduty.Failed, true, "400 Bad Request, not PagerDuty's form of answer"},
		{"400 page", 400, htmlType, "<html><h1>Bad request: Invalid routing key</h1></html>", pagerduty.Failed, true, "400 Bad Request, not PagerDuty's form of answer: a page of HTML"},
		{"400 text of a proxy", 400, "text/plain", "upstream sent too big header", pagerduty.Failed, true, "400 Bad Request, not PagerDuty's form of answer: upstream sent too big header"},
		{"400 JSON of another", 400, jsonType, `{"error":"bad gateway"}`, pagerduty.Failed, true, ""},
		{"400 list", 400, jsonType, `["invalid event"]`, pagerduty.Failed, true, ""},
		{"400 errors of another type", 400, jsonType, `{"status":"invalid event","errors":{"a":1}}`, pagerduty.Failed, true, ""},

		{"401", 401, htmlType, "<html>", pagerduty.Failed, true, ""},
		{"402", 402, jsonType, `{"error":{"message":"x"}}`, pagerduty.Failed, true, ""},
		{"403", 403, htmlType, "<html>", pagerduty.Failed, true, ""},
		{"404", 404, "text/plain", "404 page not found", pagerduty.Failed, true, "404 Not Found, not PagerDuty's form of answer: 404 page not found"},
		{"405", 405, "", "", pagerduty.Failed, true, ""},
		{"407", 407, htmlType, "<html>", pagerduty.Failed, true, ""},
		{"408", 408, "", "", pagerduty.Failed, true, ""},
		{"410", 410, "", "", pagerduty.Failed, true, ""},
		{"413 text", 413, "text/plain", "too large", pagerduty.TooLarge, false, "413 Request Entity Too Large: too large"},
		{"413 page", 413, htmlType, "<html>", pagerduty.TooLarge, false, ""},
		{"415", 415, "", "", pagerduty.Failed, true, ""},
		{"422", 422, jsonType, invalid(`"x"`), pagerduty.Failed, true, ""},
		{"429 empty", 429, "", "", pagerduty.Throttled, true, "429 Too Many Requests"},
		{"429 json", 429, jsonType, `{"status":"throttle exceeded","message":"slow down"}`, pagerduty.Throttled, true, "429 Too Many Requests: slow down"},
		{"451", 451, "", "", pagerduty.Failed, true, ""},
		{"500", 500, "text/plain", "Internal Server Error", pagerduty.Failed, true, "500 Internal Server Error: Internal Server Error"},
		{"501", 501, "", "", pagerduty.Failed, true, ""},
		{"502", 502, htmlType, "<html>", pagerduty.Failed, true, "502 Bad Gateway: a page of HTML"},
		{"503", 503, "", "", pagerduty.Failed, true, ""},
		{"504", 504, "", "", pagerduty.Failed, true, ""},
		{"529", 529, "", "", pagerduty.Failed, true, "529"},
		{"599", 599, "", "", pagerduty.Failed, true, "599"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := servePlain(t, answering(tc.code, tc.contentType, tc.body))
			err := clientOf(t, srv).Enqueue(t.Context(), "", testEvent())
			got := wantKind(t, err, tc.want)
			if got.Code != tc.code {
				t.Errorf("got code %d, want %d", got.Code, tc.code)
			}
			if tc.message != "" && got.Message != tc.message {
				t.Errorf("got message %q, want %q", got.Message, tc.message)
			}
			if tc.want == pagerduty.Accepted {
				return
			}
			se := (*pagerduty.StatusError)(nil)
			if !errors.As(err, &se) {
				t.Fatalf("got %T, want a StatusError", err)
			}
			if got := se.Temporary(); got != tc.temporary {
				t.Errorf("got Temporary %t, want %t", got, tc.temporary)
			}
			if string(se.Body) != tc.body {
				t.Errorf("got body %q, want %q", se.Body, tc.body)
			}
			// An error made elsewhere, and one wrapped, mean the same.
			plain := fmt.Errorf("deliver: %w", &pagerduty.StatusError{Code: se.Code, Header: se.Header, Body: se.Body})
			if again := pagerduty.Classify(plain); again != got {
				t.Errorf("got %+v from an equal error, want %+v", again, got)
			}
		})
	}
}

// Every status has a place, and only 202 is ever accepted.
func TestEveryStatus(t *testing.T) {
	for code := 200; code < 600; code++ {
		if code == 304 || code == 204 {
			continue // no body.
		}
		want := pagerduty.Failed
		switch code {
		case 400:
			want = pagerduty.Refused
		case 413:
			want = pagerduty.TooLarge
		case 429:
			want = pagerduty.Throttled
		}
		err := &pagerduty.StatusError{Code: code, Body: []byte(`{"status":"invalid event","message":"m","errors":["e"]}`)}
		if got := pagerduty.Classify(err).Kind; got != want {
			t.Errorf("%d: got %q, want %q", code, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Sun, 22 Nov 2026 10:00:00 GMT"
	at := func(d time.Duration) string {
		base, err := http.ParseTime(date)
		if err != nil {
			t.Fatal(err)
		}
		return base.Add(d).Format(http.TimeFormat)
	}
	for _, tc := range []struct {
		name   string
		code   int
		header map[string]string
		want   time.Duration
	}{
		{"none", 429, nil, 0},
		{"seconds", 429, map[string]string{"Retry-After": "30"}, 30 * time.Second},
		{"date", 429, map[string]string{"Retry-After": at(90 * time.Second), "Date": date}, 90 * time.Second},
		{"date in the past", 429, map[string]string{"Retry-After": at(-time.Second), "Date": date}, 0},
		{"date far away", 429, map[string]string{"Retry-After": at(2 * time.Hour), "Date": date}, 0},
		{"date and no clock to compare with", 429, map[string]string{"Retry-After": at(time.Second)}, 0},
		{"reset", 429, map[string]string{"Ratelimit-Reset": "12"}, 12 * time.Second},
		{"both", 429, map[string]string{"Retry-After": "30", "Ratelimit-Reset": "12"}, 30 * time.Second},
		{"negative, then reset", 429, map[string]string{"Retry-After": "-1", "Ratelimit-Reset": "12"}, 12 * time.Second},
		{"zero", 429, map[string]string{"Retry-After": "0"}, 0},
		{"an hour", 429, map[string]string{"Retry-After": "3600"}, time.Hour},
		{"more than an hour", 429, map[string]string{"Retry-After": "3601"}, 0},
		{"overflow", 429, map[string]string{"Retry-After": "99999999999999999999"}, 0},
		{"would overflow a duration", 429, map[string]string{"Retry-After": "9223372036854775807"}, 0},
		{"words", 429, map[string]string{"Retry-After": "soon", "Ratelimit-Reset": "soon"}, 0},
		{"503", 503, map[string]string{"Retry-After": "30"}, 30 * time.Second},
		{"503 has no reset", 503, map[string]string{"Ratelimit-Reset": "30"}, 0},
		{"500", 500, map[string]string{"Retry-After": "30"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := make(http.Header)
			for k, v := range tc.header {
				h.Set(k, v)
			}
			if got := pagerduty.Classify(&pagerduty.StatusError{Code: tc.code, Header: h}).RetryAfter; got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// A date is measured by the clock of the answer, or by ours where it has none.
func TestRetryAfterDateWithoutDate(t *testing.T) {
	srv := servePlain(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("Retry-After", time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	got := wantKind(t, clientOf(t, srv).Enqueue(t.Context(), "", testEvent()), pagerduty.Throttled)
	if got.RetryAfter < 8*time.Minute || got.RetryAfter > 10*time.Minute {
		t.Errorf("got %s, want about 10m", got.RetryAfter)
	}
}

func TestMessageIsOneCleanLine(t *testing.T) {
	hostile := "a\x00b\r\nc\u2028d\u202ee\x1b[31mf\xff" + strings.Repeat("é", 1000)
	for _, err := range []error{
		&pagerduty.StatusError{Code: 500, Body: []byte(hostile)},
		errors.New(hostile),
	} {
		got := pagerduty.Classify(err).Message
		if n := len([]rune(got)); n > 300 {
			t.Errorf("got %d characters, want 300 at most", n)
		}
		if i := strings.IndexFunc(got, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028'
		}); i >= 0 {
			t.Errorf("got a control character at %d of %q", i, got)
		}
	}
	if got := pagerduty.Classify(errors.New("who knows")).Kind; got != pagerduty.Ambiguous {
		t.Errorf("got %q for an unknown error, want ambiguous", got)
	}
}
