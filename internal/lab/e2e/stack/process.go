// Package stack runs the programs of a whole installation on loopback:
// pagerelay, the emulator, Alertmanager. The end-to-end tests and the
// demonstration stand on it. It knows the programs by their command lines and
// HTTP interfaces alone, and decides nothing about whether what they do is right.
package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Loopback is a loopback address that is not 127.0.0.1 where the system has
// them (Linux), else 127.0.0.1. Connections to loopback leave from 127.0.0.1, so
// a port elsewhere cannot be taken by one while the program that listened on it
// is being restarted.
func Loopback() string {
	const addr = "127.77.0.1"
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	_ = l.Close() // nothing was sent over it.
	return addr
}

// Program is what Start runs. It must log `msg="Listening on"` with its address,
// as exporter-toolkit does, once it can be used.
type Program struct {
	Name string // for people.
	Path string
	// Args without --web.listen-address, which Start adds.
	Args []string
	// Addr is where it listens; port 0 takes a free one.
	Addr string
}

// Process is a running program. It can be stopped and started again, on the
// same address and with the same arguments. Its methods are not safe for
// concurrent use, but for Log and Done.
type Process struct {
	Program

	cmd  *exec.Cmd
	log  *capture
	done chan struct{}
	err  error // of Wait; to be read when done is closed.
}

// Start starts p and waits until it listens. From then on Addr is the address
// that it listens on. When it does not come up before ctx ends it is killed.
func Start(ctx context.Context, p Program) (*Process, error) {
	proc := &Process{Program: p, log: &capture{}}
	if err := proc.Restart(ctx); err != nil {
		return proc, err
	}
	return proc, nil
}

// Restart starts a process that has ended, and waits until it listens.
func (p *Process) Restart(ctx context.Context) error {
	p.cmd = exec.Command(p.Path, append(slices.Clone(p.Args), "--web.listen-address="+p.Addr)...)
	listening := p.log.begin()
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.done = make(chan struct{})
	if err := p.cmd.Start(); err != nil {
		close(p.done)
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	select {
	case p.Addr = <-listening:
		return nil
	case <-p.done:
		return fmt.Errorf("start %s: it ended at once: %w", p.Name, p.exitError())
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("start %s: it did not listen in time: %w", p.Name, ctx.Err())
	}
}

func (p *Process) exitError() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// URL is the address that it listens on, as a URL without a path.
func (p *Process) URL() string { return "http://" + p.Addr }

// PID is the number of the process, while it runs.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process at once, as kill -9 does, and waits until it has ended.
func (p *Process) Kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill() // an error means that it has ended already.
	<-p.done
}

// Stop asks the process to end (SIGTERM) and says how it ended: nil is exit
// status 0. After grace it is killed.
func (p *Process) Stop(grace time.Duration) error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("stop %s: it was killed after %s", p.Name, grace)
	}
	if p.err != nil {
		return fmt.Errorf("stop %s: %w", p.Name, p.err)
	}
	return nil
}

// Log is what the process has written, over all its starts; of a long one only the end.
func (p *Process) Log() string { return p.log.String() }

// Tail is the last n lines of Log.
func (p *Process) Tail(n int) string {
	lines := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

const keepLog = 4 << 20 // bytes of a process' output.

// capture keeps what a process writes, and finds the address it listens on.
type capture struct {
	mu        sync.Mutex
	text      []byte
	line      []byte // the line that is being written, while the address is looked for.
	listening chan string
}

// begin makes ready for a new start; the channel gets the address.
func (c *capture) begin() <-chan string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = nil
	c.listening = make(chan string, 1)
	return c.listening
}

func (c *capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, b...)
	if len(c.text) > 2*keepLog {
		c.text = slices.Clone(c.text[len(c.text)-keepLog:])
	}
	if c.listening != nil {
		c.line = append(c.line, b...)
		for c.listening != nil {
			line, rest, ok := bytes.Cut(c.line, []byte("\n"))
			if !ok {
				break
			}
			c.line = rest
			if addr := listenAddress(string(line)); addr != "" {
				c.listening <- addr
				c.listening = nil
			}
		}
	}
	return len(b), nil
}

func (c *capture) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

func listenAddress(line string) string {
	if !strings.Contains(line, `msg="Listening on"`) {
		return ""
	}
	m := regexp.MustCompile(`\baddress=(\S+)`).FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	return m[1]
}
