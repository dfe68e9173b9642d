package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/template"

	"github.com/pagerelay/pagerelay/mapping"
)

const (
	placeholder    = "ffffffffffffffff"
	requestTimeout = 30 * time.Second
)

// webhooks makes requests that each hold one alert which nobody has seen before.
// They are those of Alertmanager 0.34 for a usual alert, about 1 KiB of JSON.
type webhooks struct {
	template []byte
	offsets  []int // of the placeholders.
	next     atomic.Uint64
}

func newWebhooks(severity string) (*webhooks, error) {
	labels := template.KV{
		"alertname": "DiskFull", "cluster": "eu-1", "instance": placeholder + ":9100", "job": "node", "severity": severity,
	}
	annotations := template.KV{
		"description": "/var is full", "runbook_url": "https://runbooks.example.test/DiskFull",
		"summary": "Disk 97% full on " + placeholder,
	}
	body, err := json.Marshal(mapping.Group{
		Version: "4", GroupKey: `{}:{alertname="DiskFull", instance="` + placeholder + `:9100"}`,
		Data: template.Data{
			Receiver: "default", Status: mapping.Firing, ExternalURL: "http://am.example.test:9093",
			NotificationReason: "first notification",
			GroupLabels:        template.KV{"alertname": "DiskFull", "instance": placeholder + ":9100"},
			CommonLabels:       labels, CommonAnnotations: annotations,
			Alerts: template.Alerts{{
				Status: mapping.Firing, Labels: labels, Annotations: annotations, StartsAt: time.Now(), Fingerprint: placeholder,
				GeneratorURL: "http://prometheus.example.test/graph?g0.expr=node_filesystem_avail_bytes+%3C+1e9&g0.tab=1",
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make webhook: %w", err)
	}
	w := &webhooks{}
	w.template = fmt.Appendf(nil, "POST /webhook/alertmanager HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Alertmanager/0.34.2\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for at := 0; ; {
		i := bytes.Index(w.template[at:], []byte(placeholder))
		if i < 0 {
			break
		}
		w.offsets = append(w.offsets, at+i)
		at += i + len(placeholder)
	}
	return w, nil
}

// request writes a new one over buf and returns it, with the text that tells it
// from others.
func (w *webhooks) request(buf []byte) ([]byte, string) {
	buf = append(buf[:0], w.template...)
	name := fmt.Sprintf("%016x", w.next.Add(1))
	for _, at := range w.offsets {
		copy(buf[at:], name)
	}
	return buf, name
}

// client posts over one connection that is kept. It does no more than it must:
// it shares the processor with what it measures.
type client struct {
	hooks *webhooks
	conn  net.Conn
	in    *bufio.Reader
	buf   []byte
}

func newClient(addr string, hooks *webhooks) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to pagerelay: %w", err)
	}
	return &client{hooks: hooks, conn: conn, in: bufio.NewReader(conn)}, nil
}

// post sends a new webhook and returns its name and how long the answer took,
// from the first byte sent to the last one read. An answer other than 200 is an error.
func (c *client) post() (name string, took time.Duration, err error) {
	c.buf, name = c.hooks.request(c.buf)
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return "", 0, err
	}
	began := time.Now()
	if _, err := c.conn.Write(c.buf); err != nil {
		return "", 0, fmt.Errorf("post webhook: %w", err)
	}
	if err := c.answer(); err != nil {
		return "", 0, fmt.Errorf("post webhook: %w", err)
	}
	return name, time.Since(began), nil
}

func (c *client) answer() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	status := string(bytes.TrimSpace(line))
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without Content-Length")
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return err
	}
	if status != "HTTP/1.1 200 OK" {
		return fmt.Errorf("answered %q: %s", status, body)
	}
	return nil
}

func (c *client) close() error { return c.conn.Close() }
