package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

const (
	routingKey   = "0123456789abcdef0123456789abcdef" // of the stand-in for PagerDuty.
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
	pollEvery    = time.Millisecond
)

// process is a running pagerelay.
type process struct {
	addr    string
	cmd     *exec.Cmd
	started time.Time // just before it was started.
	log     tail
	ended   chan error
	client  *http.Client
}

// storage makes the folder of an outbox.
func storage(o options, name string) (string, error) {
	dir := filepath.Join(o.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("empty %s: %w", dir, err)
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// start starts pagerelay with a new configuration on the storage folder, and
// waits until it is ready.
func start(ctx context.Context, o options, storage, eventsURL string, perMinute int) (*process, error) {
	config := filepath.Join(o.dir, "pagerelay.yml")
	text := fmt.Sprintf("pagerduty:\n  events_url: %s\nservices:\n  infra:\n    routing_key: %s\n    events_per_minute: %d\ndefaults: {dedup: {by: alert}}\n",
		eventsURL, routingKey, perMinute)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{addr: addr, ended: make(chan error, 1)}
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	p.cmd = exec.Command(o.binary, "serve", "--config.file="+config, "--storage.path="+storage,
		"--web.listen-address="+addr, "--log.level=warn")
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start pagerelay: %w", err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// freeAddress is a loopback address that was free a moment ago.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (p *process) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		_, err := p.get(ctx, "/-/ready")
		if err == nil {
			return nil
		}
		select {
		case ended := <-p.ended:
			p.ended <- ended
			return fmt.Errorf("pagerelay ended before it was ready: %w\n%s", endError(ended), p.log.String())
		case <-ctx.Done():
			return fmt.Errorf("wait until pagerelay is ready: %w\n%s", err, p.log.String())
		case <-tick.C:
		}
	}
}

// endError is err, or an error that says that there was none.
func endError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", path, resp.Status, bytes.TrimSpace(body))
	}
	return body, nil
}

// stop ends pagerelay as a supervisor does.
func (p *process) stop() error {
	// An error means that it has ended, which is seen below.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case err := <-p.ended:
		if err != nil {
			return fmt.Errorf("stop pagerelay: %w\n%s", err, p.log.String())
		}
		return nil
	case <-timeout.C:
		return errors.Join(fmt.Errorf("stop pagerelay: still running after %s", stopTimeout), p.cmd.Process.Kill())
	}
}

// metric is the value of a series, written as /metrics does.
func (p *process) metric(ctx context.Context, series string) (float64, error) {
	body, err := p.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.Join(fmt.Errorf("no metric %s", series), lines.Err())
}

// processor is the processor time that pagerelay has used.
func (p *process) processor() (time.Duration, error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(stat.CPUTime() * float64(time.Second)), nil
}

// resident is the resident memory of pagerelay in bytes: what is its own, and
// the pages of mapped files, which the kernel can take back.
func (p *process) resident() (anonymous, file uint64, err error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return 0, 0, fmt.Errorf("read memory: %w", err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return 0, 0, fmt.Errorf("read memory: %w", err)
	}
	return status.RssAnon, status.RssFile, nil
}

// profile writes a CPU profile of the next seconds to a file when asked to. The
// returned function waits for it.
func (p *process) profile(ctx context.Context, o options, name string, over time.Duration) func() error {
	if o.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		body, err := p.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", max(1, int(over.Seconds()))))
		if err == nil {
			err = os.WriteFile(filepath.Join(o.profiles, name), body, 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}

// wait returns after d, or with an error when ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tail keeps the last of what a process says.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - 4<<10; over > 0 {
		t.buf = t.buf[over:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
