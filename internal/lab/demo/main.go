// Command demo shows the main job at work: a real Alertmanager posts to
// pagerelay, and a PagerDuty (the emulator) opens and closes the incidents that
// follow. It starts all three on loopback, tells what it does, and exits 0 only
// if everything it announced has happened. `make run` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pagerelay/pagerelay/internal/emulator"
	"github.com/pagerelay/pagerelay/internal/lab/e2e/stack"
)

const (
	startTimeout = 30 * time.Second // for each program.
	stepTimeout  = 20 * time.Second // for what is announced to happen.
	stopTimeout  = 15 * time.Second // for each program.
)

type paths struct {
	alertmanager, amtool, pagerelay, emulator string
}

func main() {
	var p paths
	var keep bool
	app := kingpin.New("demo", "Starts Alertmanager, pagerelay and a PagerDuty emulator, and shows alerts becoming incidents.")
	app.Flag("alertmanager", "Path of alertmanager.").Required().ExistingFileVar(&p.alertmanager)
	app.Flag("amtool", "Path of amtool.").Required().ExistingFileVar(&p.amtool)
	app.Flag("pagerelay", "Path of pagerelay.").Required().ExistingFileVar(&p.pagerelay)
	app.Flag("emulator", "Path of pagerduty-emulator.").Required().ExistingFileVar(&p.emulator)
	app.Flag("keep", "Stay up afterwards, until Ctrl-C.").BoolVar(&keep)
	kingpin.MustParse(app.Parse(os.Args[1:]))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{paths: p, out: os.Stdout}
	if err := d.run(ctx, keep); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err) // there is nowhere else to say it.
		os.Exit(1)
	}
}

type demo struct {
	paths
	out io.Writer

	dir       string
	processes []*stack.Process
	pd        stack.Emulator
	amURL     string
	relayURL  string
}

// run shows everything, and stops what it has started whatever happens.
func (d *demo) run(ctx context.Context, keep bool) (err error) {
	if err := d.absolute(); err != nil {
		return err
	}
	d.dir, err = os.MkdirTemp("", "pagerelay-demo-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() {
		stopErr := d.stop()
		if ctx.Err() == nil {
			err = errors.Join(err, stopErr)
		} else if err == nil && !keep {
			err = errors.New("interrupted")
		}
		if err != nil && ctx.Err() == nil {
			for _, p := range d.processes {
				d.say("\n--- last lines of %s\n%s", p.Name, p.Tail(20))
			}
		}
		err = errors.Join(err, os.RemoveAll(d.dir))
	}()
	started := time.Now()
	if err := d.start(ctx); err != nil {
		return err
	}
	if err := d.show(ctx); err != nil {
		return err
	}
	d.say("\nAll of it happened, in %s.", time.Since(started).Round(100*time.Millisecond))
	if keep {
		d.offer()
		<-ctx.Done()
		d.say("\nStopping.")
	}
	return nil
}

// absolute makes the paths independent of the folder that a program runs in.
func (d *demo) absolute() error {
	for _, p := range []*string{&d.alertmanager, &d.amtool, &d.pagerelay, &d.emulator} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...) // whether anybody reads it changes nothing.
}

// start starts the three programs.
func (d *demo) start(ctx context.Context) error {
	d.say("Starting a PagerDuty emulator, Alertmanager and pagerelay in %s:", d.dir)
	pd, err := d.launch(ctx, "PagerDuty emulator", d.emulator)
	if err != nil {
		return err
	}
	d.pd = stack.Emulator{URL: pd.URL()}

	// Alertmanager and pagerelay each need the other's address: Alertmanager
	// reads pagerelay's from a file, which is written once it is known.
	urlFile := filepath.Join(d.dir, "webhook-url")
	amConfig, err := d.write("alertmanager.yml", `route:
  receiver: pagerelay
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 1s
receivers:
  - name: pagerelay
    webhook_configs:
      - url_file: `+urlFile+"\n")
	if err != nil {
		return err
	}
	// The links of a page lead to Alertmanager, which must be told its address for them.
	amAddr, err := freeAddress()
	if err != nil {
		return err
	}
	am, err := d.launchAt(ctx, amAddr, "Alertmanager", d.alertmanager,
		"--config.file="+amConfig, "--storage.path="+filepath.Join(d.dir, "alertmanager"), "--cluster.listen-address=", "--web.external-url=http://"+amAddr)
	if err != nil {
		return err
	}
	d.amURL = am.URL()

	config := `pagerduty:
  events_url: ` + d.pd.URL + `
alertmanager:
  urls: [` + d.amURL + `]
services:
  demo:
    routing_key: ` + emulator.DefaultRoutingKey + "\n"
	relayConfig, err := d.write("pagerelay.yml", config)
	if err != nil {
		return err
	}
	relay, err := d.launch(ctx, "pagerelay", d.pagerelay,
		"serve", "--config.file="+relayConfig, "--storage.path="+filepath.Join(d.dir, "pagerelay"))
	if err != nil {
		return err
	}
	d.relayURL = relay.URL()
	if _, err := d.write("webhook-url", d.relayURL+"/webhook/alertmanager"); err != nil {
		return err
	}
	d.say("\npagerelay's configuration is no more than this:\n\n%s", indent(config))
	return nil
}

func (d *demo) launch(ctx context.Context, name, path string, args ...string) (*stack.Process, error) {
	return d.launchAt(ctx, "127.0.0.1:0", name, path, args...)
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (d *demo) launchAt(ctx context.Context, addr, name, path string, args ...string) (*stack.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := stack.Start(ctx, stack.Program{Name: name, Path: path, Args: args, Addr: addr})
	d.processes = append(d.processes, p)
	if err != nil {
		return nil, err
	}
	d.say("  %-18s %s", name, p.URL())
	return p, nil
}

func (d *demo) write(name, text string) (string, error) {
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}

// stop ends the programs in the order in which an alert goes through them. The
// demonstration is no success unless pagerelay ends well.
func (d *demo) stop() error {
	var errs []error
	for i := range d.processes {
		p := d.processes[(i+1)%len(d.processes)] // the emulator last.
		errs = append(errs, p.Stop(stopTimeout))
	}
	return errors.Join(errs...)
}

// tool runs amtool, and shows the command.
func (d *demo) tool(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	d.say("  amtool %s", shell(args))
	cmd := exec.CommandContext(ctx, d.amtool, append(args, "--alertmanager.url="+d.amURL)...)
	cmd.Env = append(os.Environ(), "HOME="+d.dir) // not the user's own configuration of amtool.
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("amtool %s: %w: %s", shell(args), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// offer prints what to try while everything is still up.
func (d *demo) offer() {
	d.say(`
Everything stays up until Ctrl-C.

  PagerDuty's incidents  %[1]s/
  Alertmanager           %[2]s/
  pagerelay              %[3]s/metrics

To try:

  %[4]s alert add DiskFull severity=critical instance=db-1 --annotation='summary="The disk is full"' --alertmanager.url=%[2]s
  curl -s '%[1]s/emulator/incidents?status=open'
  %[5]s outbox list --url=%[3]s`,
		d.pd.URL, d.amURL, d.relayURL, d.amtool, d.pagerelay)
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// shell writes arguments as one would type them.
func shell(args []string) string {
	var out []string
	for _, a := range args {
		if strings.ContainsAny(a, " '") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
