package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second
	// soon is how long anything may take that waits for nothing but the machine.
	soon = 20 * time.Second
)

// options say how an installation differs from the usual one.
type options struct {
	// groupBy and repeat are Alertmanager's. Default: [alertname] and 1h.
	groupBy, repeat string
	// maxAlerts is Alertmanager's max_alerts. Default: no limit.
	maxAlerts int
	// relay is added to pagerelay's configuration file.
	relay string
	// byGroup leaves dedup.by at its default; else each alert is an incident of its own,
	// where relay has no defaults.
	byGroup bool
	// services are pagerelay's services. Default: demo, with the emulator's built-in key.
	services string
	// emulator is the emulator's configuration file. Default: its built-in account.
	emulator string
	// journal is where the emulator writes down what it accepted.
	journal string
	// noAlertmanager: the test posts webhooks itself.
	noAlertmanager bool
	// storage is where the first pagerelay keeps its file. Default: a folder of its own.
	storage string
	// older runs the older Alertmanager.
	older bool
	// interval is the group_interval and peerTimeout that of the cluster. Default: an interval
	// that is longer than any member waits.
	interval, peerTimeout string
	// members is the number of Alertmanagers, each with a pagerelay of its own. Default 1.
	members int
}

// member is an Alertmanager and its sidecar.
type member struct {
	alertmanager *stack.Process
	am           stack.Alertmanager
	relay        *stack.Process
	config       string // path of the sidecar's configuration file.
}

// installation is an emulator and what pages it.
type installation struct {
	t        *testing.T
	dir      string
	programs programs
	loopback string
	pd       stack.Emulator
	members  []*member
	started  []*stack.Process

	// tolerated are parts of ERROR lines that pagerelay may log in this test.
	tolerated []string
}

// install starts an installation; it ends with the test.
func install(t *testing.T, o options) *installation {
	t.Helper()
	s := &installation{t: t, dir: t.TempDir(), loopback: stack.Loopback()}
	if s.programs = ours(t); !o.noAlertmanager {
		s.programs = all(t)
	}
	if o.older {
		s.programs.alertmanager = need(t, "ALERTMANAGER_OLDER_BIN", "older/alertmanager")
	}
	t.Cleanup(s.end)

	args := []string{}
	if o.emulator != "" {
		args = append(args, "--config.file="+s.write("emulator.yml", o.emulator))
	}
	if o.journal != "" {
		args = append(args, "--journal.file="+o.journal)
	}
	s.pd = stack.Emulator{URL: s.start("emulator", s.programs.emulator, args...).URL()}

	for i := range max(1, o.members) {
		m := &member{}
		s.members = append(s.members, m)
		if !o.noAlertmanager {
			s.startAlertmanager(i, o)
		}
	}
	for i, m := range s.members {
		storage := filepath.Join(s.dir, fmt.Sprintf("storage-%d", i))
		if i == 0 && o.storage != "" {
			storage = o.storage
		}
		m.config = s.write(fmt.Sprintf("pagerelay-%d.yml", i), s.relayConfig(o))
		m.relay = s.start(fmt.Sprintf("pagerelay-%d", i), s.programs.pagerelay, "serve",
			"--config.file="+m.config, "--web.enable-admin-api",
			"--storage.path="+storage)
		// Only now does Alertmanager learn where to post: each needs the other's address.
		s.write(webhookFile(i), m.relay.URL()+"/webhook/alertmanager")
	}
	return s
}

func webhookFile(i int) string { return fmt.Sprintf("webhook-url-%d", i) }

func (s *installation) startAlertmanager(i int, o options) {
	s.t.Helper()
	interval := "1s"
	if o.members > 1 {
		interval = "2s"
	}
	config := s.write(fmt.Sprintf("alertmanager-%d.yml", i), `
route:
  receiver: pagerelay
  group_wait: 100ms
  group_interval: `+cmp.Or(o.interval, interval)+`
  group_by: `+cmp.Or(o.groupBy, "[alertname]")+`
  repeat_interval: `+cmp.Or(o.repeat, "1h")+`
receivers:
  - name: pagerelay
    webhook_configs:
      - url_file: `+s.write(webhookFile(i), "http://"+s.loopback+":9/not-yet")+"\n        max_alerts: "+strconv.Itoa(o.maxAlerts)+"\n")
	args := []string{"--config.file=" + config, "--storage.path=" + filepath.Join(s.dir, fmt.Sprintf("alertmanager-%d", i))}
	if o.members > 1 {
		// As by default, a member waits for the others for less than a group_interval.
		// Where it waits longer it sends what was true when it began to wait, even
		// if the first has meanwhile sent the resolve.
		args = append(args, "--cluster.listen-address="+s.loopback+":0", "--cluster.gossip-interval=50ms",
			"--cluster.settle-timeout=1s", "--cluster.peer-timeout="+cmp.Or(o.peerTimeout, "500ms"))
		if i > 0 {
			cluster, err := s.members[0].am.Cluster(s.t.Context())
			if err != nil || len(cluster.Peers) == 0 {
				s.t.Fatalf("ask the first Alertmanager for its cluster address: %v, %+v", err, cluster)
			}
			args = append(args, "--cluster.peer="+cluster.Peers[0].Address)
		}
	} else {
		args = append(args, "--cluster.listen-address=")
	}
	m := s.members[i]
	m.alertmanager = s.start(fmt.Sprintf("alertmanager-%d", i), s.programs.alertmanager, args...)
	m.am = stack.Alertmanager{URL: m.alertmanager.URL()}
}

// relayConfig is the same for all sidecars of a cluster.
func (s *installation) relayConfig(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pagerduty:\n  events_url: %s\n", s.pd.URL)
	if !o.noAlertmanager {
		b.WriteString("alertmanager:\n  urls:\n")
		for _, m := range s.members {
			fmt.Fprintf(&b, "    - %s\n", m.am.URL)
		}
	}
	services := fmt.Sprintf("  demo: {routing_key: %s}\n", emulator.DefaultRoutingKey)
	b.WriteString("services:\n" + cmp.Or(o.services, services) + o.relay)
	if !o.byGroup && !strings.Contains(o.relay, "defaults:") {
		b.WriteString("defaults: {dedup: {by: alert}}\n")
	}
	return b.String()
}

func (s *installation) start(name, path string, args ...string) *stack.Process {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	p, err := stack.Start(ctx, stack.Program{Name: name, Path: path, Args: args, Addr: s.loopback + ":0"})
	s.started = append(s.started, p)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// restart starts a process that has ended, on the address that it had.
func (s *installation) restart(p *stack.Process) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	if err := p.Restart(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// end stops everything, and shows all logs if the test has failed.
func (s *installation) end() {
	for _, m := range s.members {
		if m.relay == nil {
			continue
		}
		select {
		case <-m.relay.Done():
		default:
			if err := m.relay.Stop(stopTimeout); err != nil {
				s.t.Error(err)
			}
		}
		s.checkLog(m.relay)
	}
	for _, p := range slices.Backward(s.started) {
		p.Kill()
	}
	if !s.t.Failed() {
		return
	}
	for _, p := range s.started {
		s.t.Logf("--- log of %s\n%s", p.Name, p.Tail(400))
	}
}

// checkLog finds what pagerelay must never write.
func (s *installation) checkLog(p *stack.Process) {
	for line := range strings.Lines(p.Log()) {
		bad := strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic:") || strings.Contains(line, "level=ERROR")
		switch {
		case !bad || slices.ContainsFunc(s.tolerated, func(part string) bool { return strings.Contains(line, part) }):
		case slowDisk(line):
			s.t.Logf("this machine's disk did not answer in time: %s", strings.TrimSpace(line))
		default:
			s.t.Errorf("%s logged: %s", p.Name, strings.TrimSpace(line))
		}
		if strings.Contains(line, emulator.DefaultRoutingKey) {
			s.t.Errorf("%s logged the routing key: %s", p.Name, strings.TrimSpace(line))
		}
	}
}

// slowDisk says whether pagerelay logs in this line that a commit took longer than it
// waits for (2 s), as may happen on any machine that has other work: it is in direct
// mode then, or has answered a webhook 503.
func slowDisk(line string) bool {
	return strings.Contains(line, "DIRECT MODE") && strings.Contains(line, "the disk does not answer") ||
		strings.Contains(line, "alerts not stored") && strings.Contains(line, "observe in direct mode")
}

// write makes a file in the installation's folder, in place of an older one, and returns its path.
func (s *installation) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	// Alertmanager reads some of these files at any time: it must never see half of one.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// eventually asks check again and again until it returns nil, or fails the test after within.
func (s *installation) eventually(what string, within time.Duration, check func() error) {
	s.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("%s: not within %s: %v", what, within, err)
		}
	}
}

// post sends alerts to every Alertmanager, as Prometheus does.
func (s *installation) post(alerts ...stack.Alert) {
	s.t.Helper()
	for _, m := range s.members {
		if err := m.am.Post(s.t.Context(), alerts...); err != nil {
			s.t.Fatal(err)
		}
	}
}

// amtool runs amtool against the first Alertmanager.
func (s *installation) amtool(args ...string) string {
	s.t.Helper()
	return s.command(s.programs.amtool, append(args, "--alertmanager.url="+s.members[0].am.URL)...)
}

// pagerelay runs a subcommand against the first sidecar.
func (s *installation) pagerelay(args ...string) string {
	s.t.Helper()
	return s.command(s.programs.pagerelay, append(args, "--url="+s.members[0].relay.URL())...)
}

func (s *installation) command(path string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "HOME="+s.dir) // not the user's own configuration.
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// opened is what a test expects of an open incident.
type opened struct {
	Urgency, Severity string
	Status            emulator.Status
}

// What the default tiers become.
func critical() opened { return opened{"high", "critical", emulator.Triggered} }
func warning() opened  { return opened{"low", "warning", emulator.Triggered} }
func info() opened     { return opened{"low", "info", emulator.Acknowledged} }

// holds waits until PagerDuty's open incidents are exactly want, by the name
// that their dedup keys show, and pagerelay has nothing more to say.
func (s *installation) holds(want map[string]opened) {
	s.t.Helper()
	s.holdsWithin(soon, want)
}

func (s *installation) holdsWithin(within time.Duration, want map[string]opened) {
	s.t.Helper()
	s.eventually("PagerDuty's open incidents", within, func() error {
		for i, m := range s.members {
			if err := s.quiet(m); err != nil {
				return fmt.Errorf("pagerelay %d: %w", i, err)
			}
		}
		list, err := s.pd.Open(s.t.Context())
		if err != nil {
			return err
		}
		got := map[string]opened{}
		for _, in := range list {
			name := nameOf(in.DedupKey)
			if _, twice := got[name]; twice {
				return fmt.Errorf("two open incidents for %s", name)
			}
			got[name] = opened{in.Urgency, in.Severity, in.Status}
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}

// quiet is nil when a sidecar owes PagerDuty no page and no resolve that it can
// send. Change events, which notify nobody, may take their time.
func (s *installation) quiet(m *member) error {
	text, err := stack.HTTP{}.Text(s.t.Context(), m.relay.URL()+"/metrics")
	if err != nil {
		return err
	}
	const series = `pagerelay_outbox_incidents{state="pending"} `
	if !strings.Contains(text, "\n"+series) {
		return fmt.Errorf("no series %s", series)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == series+"0" {
			return nil // what is owed is blocked.
		}
		pending := strings.HasPrefix(line, "pagerelay_outbox_oldest_pending_seconds{") && !strings.HasSuffix(line, " 0")
		if pending && !strings.Contains(line, `urgency="change"`) {
			return fmt.Errorf("something is pending: %s", line)
		}
	}
	return nil
}

type noError struct{}

func (noError) Error() string { return "none" }

func errOrNone(err error) error {
	if err == nil {
		return noError{}
	}
	return err
}

// nameOf is the part of a dedup key that shows the alert's name:
// service/name/urgency/hash.
func nameOf(dedupKey string) string {
	parts := strings.Split(dedupKey, "/")
	if len(parts) != 4 {
		return dedupKey
	}
	return parts[1]
}

// metric reads one series of a sidecar.
func (s *installation) metric(m *member, series string) (float64, error) {
	text, err := stack.HTTP{}.Text(s.t.Context(), m.relay.URL()+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("no series %s", series)
}

// incidents are all incidents whose key shows name, oldest first.
func (s *installation) incidents(name string) []emulator.Incident {
	s.t.Helper()
	list, err := s.pd.Incidents(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(in emulator.Incident) bool { return nameOf(in.DedupKey) != name })
}

// one checks that there was never more than one incident for name, and returns it.
func (s *installation) one(name string) emulator.Incident {
	s.t.Helper()
	list := s.incidents(name)
	if len(list) != 1 {
		s.t.Fatalf("got %d incidents for %s, want 1: %+v", len(list), name, list)
	}
	return list[0]
}

// requests are all requests that PagerDuty saw, and their totals.
func (s *installation) requests() ([]emulator.Request, emulator.Counts) {
	s.t.Helper()
	list, counts, err := s.pd.Requests(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return list, counts
}

// noneRefused checks that PagerDuty itself found nothing wrong with any request.
func (s *installation) noneRefused() {
	s.t.Helper()
	list, counts := s.requests()
	if counts.Refused == 0 {
		return
	}
	for _, r := range list {
		if r.Outcome == emulator.Invalid || r.Outcome == emulator.TooLarge || r.Outcome == emulator.UnknownRoutingKey {
			s.t.Errorf("PagerDuty refused %s of %s with %d: %v", r.Action, r.DedupKey, r.Code, r.Errors)
		}
	}
}

func (s *installation) faults(rules ...emulator.Fault) {
	s.t.Helper()
	if err := s.pd.SetFaults(s.t.Context(), rules...); err != nil {
		s.t.Fatal(err)
	}
}

// alert makes an alert that fires since now, with the given labels, name=value.
func alert(name string, labels ...string) stack.Alert {
	a := stack.Alert{
		Labels:      map[string]string{"alertname": name},
		Annotations: map[string]string{"summary": name + " needs a person"},
		StartsAt:    time.Now(),
	}
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		a.Labels[k] = v
	}
	return a
}

// over is the same alert, resolved now.
func over(a stack.Alert) stack.Alert {
	a.Labels = maps.Clone(a.Labels)
	a.EndsAt = time.Now()
	return a
}
