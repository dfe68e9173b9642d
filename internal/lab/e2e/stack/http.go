package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// HTTP speaks JSON. Its zero value works.
type HTTP struct {
	// Client makes the requests. Default: one with a time-out of 10 s.
	Client *http.Client
}

// JSON sends in, if it is not nil, and decodes the answer into out, if that is
// not nil. Any answer other than 2xx is an error that holds its body.
func (h HTTP) JSON(ctx context.Context, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode body of %s: %w", url, err)
		}
		body = bytes.NewReader(text)
	}
	answer, err := h.do(ctx, method, url, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", url, err)
	}
	return nil
}

// Text is the body of a GET.
func (h HTTP) Text(ctx context.Context, url string) (string, error) {
	b, err := h.do(ctx, http.MethodGet, url, nil)
	return string(b), err
}

func (h HTTP) do(ctx context.Context, method, url string, body io.Reader) (_ []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	client := h.Client
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it has been read.
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", url, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}
