package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pagerelay/pagerelay/internal/emulator"
)

// patience is how long a test waits for what must happen; none waits that long
// unless it fails.
const patience = 30 * time.Second

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"pagerelay": main}) }

// TestScripts runs testdata/script. Each script has a PagerDuty of its own at
// $PAGERDUTY, whose only routing key is $KEY. Beside testscript's commands:
//
//	expand FILE...              replace $VARIABLES in the files
//	start NAME ARGS...          run pagerelay until it listens; sets $URL
//	log NAME PATTERN            wait until it has logged a line like that
//	signal NAME HUP|TERM|KILL   send it a signal
//	exits NAME [CODE]           wait for its end, with exit code 0 or CODE; its log is then $WORK/NAME.log
//	http-as HOST METHOD PATH [FILE]   the same under a host name
//	http METHOD PATH [FILE] [TOKEN]   ask $URL; the answer's code and body are stdout
//	until PATTERN ARGS...       run pagerelay ARGS until its stdout is like that
//	pagerduty LINE...           wait until these are PagerDuty's incidents ("status urgency severity title"), in any order
//	sent N                      want N events to have reached PagerDuty
//	dedupkey [TOKENFILE]        set $DEDUPKEY to that of the only incident
//	hostile VARIABLE            set it to what a terminal must not get
//	account FILE NAME=VALUE...  replace PagerDuty's account by the emulator's configuration in FILE, where $NAME is VALUE
//	exits-with CODE ARGS...     run pagerelay ARGS and want this exit code
//	fault JSON                  set the faults of PagerDuty; [] for none
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			emu, err := emulator.New(emulator.Default(), emulator.Options{})
			if err != nil {
				return err
			}
			server := httptest.NewServer(emu.Handler())
			env.Defer(func() { emu.ClearFaults(); server.Close() })
			env.Setenv("PAGERDUTY", server.URL)
			env.Setenv("KEY", emulator.DefaultRoutingKey)
			for name, in := range map[string]time.Duration{"IN1D": 24 * time.Hour, "IN2D": 48 * time.Hour} {
				env.Setenv(name, time.Now().Add(in).UTC().Format(time.RFC3339))
			}
			env.Values["emulator"] = emu
			env.Values["processes"] = map[string]*process{}
			env.Defer(func() {
				for _, p := range env.Values["processes"].(map[string]*process) {
					p.kill()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"expand": cmdExpand, "start": cmdStart, "log": cmdLog, "signal": cmdSignal, "exits": cmdExits,
			"http": cmdHTTP, "http-as": cmdHTTPAs, "until": cmdUntil, "pagerduty": cmdPagerDuty, "fault": cmdFault, "account": cmdAccount, "exits-with": cmdExitsWith, "sent": cmdSent,
			"dedupkey": cmdDedupKey, "hostile": cmdHostile,
		},
	})
}

func cmdExpand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

func cmdStart(ts *testscript.TestScript, _ bool, args []string) {
	running := ts.Value("processes").(map[string]*process)
	if old := running[args[0]]; old != nil {
		if _, err := old.exit(); err != nil { // else nobody would end it.
			ts.Fatalf("%s is still there: %v", args[0], err)
		}
	}
	path, err := exec.LookPath("pagerelay")
	ts.Check(err)
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--web.listen-address=") }) {
		args = append(args, "--web.listen-address=127.0.0.1:0")
	}
	args = append(args, "--log.level=debug")
	p, err := startProcess(path, ts.MkAbs("."), args[1:])
	ts.Check(err)
	running[args[0]] = p
	address, err := p.address()
	if err != nil {
		ts.Fatalf("start pagerelay: %v\n%s", err, p.output())
	}
	ts.Setenv("URL", "http://"+address)
	ts.Setenv("ADDRESS", address)
}

func proc(ts *testscript.TestScript, name string) *process {
	p := ts.Value("processes").(map[string]*process)[name]
	if p == nil {
		ts.Fatalf("no process %s", name)
	}
	return p
}

func cmdLog(ts *testscript.TestScript, _ bool, args []string) {
	p := proc(ts, args[0])
	if _, err := p.wait(args[1]); err != nil {
		ts.Fatalf("%v\n%s", err, p.output())
	}
}

func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	ts.Check(proc(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	want := 0
	if len(args) > 1 {
		var err error
		want, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	p := proc(ts, args[0])
	got, err := p.exit()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".log"), []byte(p.output()), 0o600))
	if got != want {
		ts.Fatalf("exit code of %s: got %d, want %d\n%s", args[0], got, want, p.output())
	}
}

func cmdHTTP(ts *testscript.TestScript, _ bool, args []string) { askAs(ts, "", args) }

func cmdHTTPAs(ts *testscript.TestScript, _ bool, args []string) { askAs(ts, args[0], args[1:]) }

// askAs sends a request under a host name; "" is the address itself.
func askAs(ts *testscript.TestScript, host string, args []string) {
	var body io.Reader
	if len(args) > 2 && args[2] != "-" {
		body = strings.NewReader(ts.ReadFile(args[2]))
	}
	req, err := http.NewRequestWithContext(context.Background(), args[0], ts.Getenv("URL")+args[1], body)
	ts.Check(err)
	req.Host = host
	if len(args) > 3 {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile(args[3])))
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d\n%s", resp.StatusCode, answer)
}

func cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[0])
	var out, stderr bytes.Buffer
	eventually(ts, func() bool {
		out.Reset()
		stderr.Reset()
		command(args[1:], strings.NewReader(""), &out, &stderr)
		return want.Match(out.Bytes())
	}, func() string { return out.String() + stderr.String() })
	_, err := ts.Stdout().Write(out.Bytes())
	ts.Check(err)
}

func cmdPagerDuty(ts *testscript.TestScript, _ bool, args []string) {
	emu := ts.Value("emulator").(*emulator.Emulator)
	slices.Sort(args)
	var got []string
	eventually(ts, func() bool {
		got = nil
		for _, in := range emu.Incidents() {
			got = append(got, fmt.Sprintf("%s %s %s %s", in.Status, in.Urgency, in.Severity, in.Title))
		}
		slices.Sort(got)
		return slices.Equal(got, args)
	}, func() string { return fmt.Sprintf("PagerDuty's incidents: got %q, want %q", got, args) })
}

func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	var rules []emulator.Fault
	ts.Check(json.Unmarshal([]byte(args[0]), &rules))
	ts.Check(ts.Value("emulator").(*emulator.Emulator).SetFaults(rules))
}

func cmdSent(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := len(ts.Value("emulator").(*emulator.Emulator).Requests()); got != want {
		ts.Fatalf("events that reached PagerDuty: got %d, want %d", got, want)
	}
}

func cmdAccount(ts *testscript.TestScript, _ bool, args []string) {
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		ts.Setenv(name, value)
	}
	account, err := emulator.Parse([]byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)))
	ts.Check(err)
	ts.Check(ts.Value("emulator").(*emulator.Emulator).SetAccount(*account))
}

func cmdExitsWith(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("pagerelay", args[1:]...)
	got := 0
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code: got %d, want %d", got, want)
	}
}

func cmdDedupKey(ts *testscript.TestScript, _ bool, args []string) {
	list := []string{"outbox", "list", "--format=json", "--url=" + ts.Getenv("URL")}
	if len(args) > 0 {
		list = append(list, "--token-file="+ts.MkAbs(args[0]))
	}
	var out bytes.Buffer
	command(list, strings.NewReader(""), &out, &out)
	found := regexp.MustCompile(`"dedup_key": "(.*)"`).FindAllStringSubmatch(out.String(), -1)
	if len(found) != 1 {
		ts.Fatalf("want one incident, got\n%s", out.String())
	}
	ts.Setenv("DEDUPKEY", found[0][1])
}

func cmdHostile(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], "a\x1b[2Jb\u009b31mc\u202ed\u2028e")
}

// eventually waits until ok says so.
func eventually(ts *testscript.TestScript, ok func() bool, state func() string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("waited for %v\n%s", patience, state())
		}
	}
}

// process is a pagerelay that runs beside the test.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and all of its log is read.

	mu   sync.Mutex
	text bytes.Buffer
	news chan struct{} // closed and replaced when text grows.
}

func startProcess(path, dir string, args []string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{}), news: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // the code is asked for later.
		close(p.ended)
	}()
	return p, nil
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.news)
	p.news = make(chan struct{})
	return p.text.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// wait waits for output that matches, and returns the submatches.
func (p *process) wait(pattern string) ([]string, error) {
	re := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		found, news := re.FindStringSubmatch(p.text.String()), p.news
		p.mu.Unlock()
		if found != nil {
			return found, nil
		}
		select {
		case <-news:
		case <-p.ended:
			if re.MatchString(p.output()) {
				continue
			}
			return nil, fmt.Errorf("the process ended without a line like %q", pattern)
		case <-deadline:
			return nil, fmt.Errorf("no line like %q in %v", pattern, patience)
		}
	}
}

func (p *process) address() (string, error) {
	found, err := p.wait(`msg="Listening on" address=(\S+)\n`)
	if err != nil {
		return "", err
	}
	return found[1], nil
}

func (p *process) exit() (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.New("the process does not end")
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already.
	<-p.ended
}
