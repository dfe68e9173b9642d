package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"golang.org/x/term"

	"github.com/pagerelay/pagerelay/coverage"
	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/oncall"
)

// The exit codes of `coverage audit` and, but for exitFindings, `coverage export`.
const (
	exitFindings = 1 // at or above --fail-on.
	exitUsage    = 2 // the command line (of any subcommand) or the configuration is wrong.
	exitUnknown  = 3 // PagerDuty could not be asked, or not for everything that is needed.
)

const (
	formatMarkdown = "markdown"
	formatICS      = "ics"
	formatCSV      = "csv"

	failOnNone = "none"
)

// plainWidth is how wide text is where no terminal says.
const plainWidth = 100

// coverageCommand is `pagerelay coverage audit | export`.
type coverageCommand struct {
	audit struct{ name, format, failOn string }

	export struct {
		name, schedule, format string
		horizon                model.Duration
	}
}

func newCoverage(app *kingpin.Application) *coverageCommand {
	c := &coverageCommand{}
	cmd := app.Command("coverage", "Look at who is on call in PagerDuty.")

	audit := cmd.Command("audit", "Read what the section coverage of the configuration names, and say what is wrong with it. "+
		"Reports to nobody. Exits 0 without findings, 1 with findings at or above --fail-on, 2 if called wrongly, 3 if PagerDuty could not be asked for all that is needed.")
	audit.Flag("format", "text, json or markdown.").Default(formatText).EnumVar(&c.audit.format, formatText, formatJSON, formatMarkdown)
	audit.Flag("fail-on", "The least severe finding that makes the exit code 1: critical, warning, info or none.").
		Default(string(coverage.Warning)).EnumVar(&c.audit.failOn, string(coverage.Critical), string(coverage.Warning), string(coverage.Info), failOnNone)
	c.audit.name = audit.FullCommand()

	export := cmd.Command("export", "Write who is on call by a schedule, as a calendar or a table. Exits 0, 2 if called wrongly, 3 if the schedule could not be read.")
	export.Flag("schedule", "The schedule's name or id.").Required().StringVar(&c.export.schedule)
	export.Flag("format", "ics (iCalendar), csv or json.").Default(formatICS).EnumVar(&c.export.format, formatICS, formatCSV, formatJSON)
	export.Flag("horizon", "How far ahead, at most 90d. Default: that of the configuration.").SetValue(&c.export.horizon)
	c.export.name = export.FullCommand()
	return c
}

// run returns the exit code, and what is to be told on stderr.
func (c *coverageCommand) run(ctx context.Context, name, file string, stdout, stderr io.Writer) (int, error) {
	p, err := loadParts(file)
	if err != nil {
		return exitUsage, err
	}
	if name == c.export.name {
		return c.runExport(ctx, p, stdout, stderr)
	}
	return c.runAudit(ctx, p, stdout, stderr)
}

func (c *coverageCommand) runAudit(ctx context.Context, p *parts, stdout, stderr io.Writer) (int, error) {
	cfg := p.config.Coverage
	if !cfg.Audits() {
		return exitUsage, errors.New("audit coverage: the configuration has no section coverage that names schedules or escalation_policies")
	}
	snapshot, err := readSnapshot(stderr, func(progress func(done, total int)) (*coverage.Snapshot, error) {
		return p.source.read(ctx, cfg, progress)
	})
	if err != nil {
		return exitUnknown, fmt.Errorf("audit coverage: %w", err)
	}
	audit := coverage.NewAudit(snapshot, cfg, time.Now())
	switch c.audit.format {
	case formatJSON:
		err = writeJSON(stdout, audit.Document(), "  ")
	case formatMarkdown:
		err = audit.WriteMarkdown(stdout)
	default:
		err = audit.WriteText(stdout, width(stdout))
	}
	switch {
	case err != nil:
		return exitUnknown, fmt.Errorf("write audit: %w", err)
	case c.audit.failOn != failOnNone && audit.AtLeast(coverage.Severity(c.audit.failOn)):
		return exitFindings, nil
	case len(audit.Result.Unknown) > 0:
		return exitUnknown, nil
	}
	return 0, nil
}

func (c *coverageCommand) runExport(ctx context.Context, p *parts, stdout, stderr io.Writer) (int, error) {
	cfg := coverage.Config{
		Horizon: p.config.Coverage.Horizon, Schedules: []coverage.ScheduleConfig{{Name: c.export.schedule}},
	}
	if c.export.horizon != 0 {
		cfg.Horizon = c.export.horizon
	}
	if err := cfg.ValidateOnce(); err != nil { // its only fault can be one of the flags.
		return exitUsage, fmt.Errorf("export rotation: --schedule or --horizon: %w", err)
	}
	snapshot, err := readSnapshot(stderr, func(progress func(done, total int)) (*coverage.Snapshot, error) {
		return p.source.reader.Read(ctx, cfg.WithDefaults(), nil, progress) // of services it tells nothing.
	})
	if err != nil {
		return exitUnknown, fmt.Errorf("export rotation: %w", err)
	}
	rotation, err := snapshot.Rotation(c.export.schedule)
	if err != nil {
		return exitUnknown, fmt.Errorf("export rotation: %w", err)
	}
	switch c.export.format {
	case formatCSV:
		err = rotation.WriteCSV(stdout)
	case formatJSON:
		err = writeJSON(stdout, rotation, "  ")
	default:
		err = rotation.WriteICS(stdout)
	}
	if err != nil {
		return exitUnknown, fmt.Errorf("export rotation: %w", err)
	}
	return 0, nil
}

// readSnapshot has a snapshot read, with a line of progress on a terminal.
func readSnapshot(stderr io.Writer, read func(progress func(done, total int)) (*coverage.Snapshot, error)) (*coverage.Snapshot, error) {
	var progress func(done, total int)
	if _, ok := terminal(stderr); ok {
		progress = func(done, total int) {
			fmt.Fprintf(stderr, "\r\x1b[KReading PagerDuty: %d of %d", done, total)
		}
		defer fmt.Fprint(stderr, "\r\x1b[K")
	}
	return read(progress)
}

// coverageSource reads PagerDuty as the configuration says.
type coverageSource struct {
	reader *oncall.Reader
	config *config.Config
}

// Read implements coverage.Source.
func (s *coverageSource) Read(ctx context.Context) (*coverage.Snapshot, error) {
	return s.read(ctx, s.config.Coverage, nil)
}

func (s *coverageSource) read(ctx context.Context, cfg coverage.Config, progress func(done, total int)) (*coverage.Snapshot, error) {
	services := map[string]string{} // by the hash of the key.
	var keyless []string
	for _, name := range s.config.ServiceNames() {
		key, err := s.config.Services[name].Key()
		if err != nil {
			keyless = append(keyless, name)
			continue
		}
		sum := sha256.Sum256([]byte(key))
		services[hex.EncodeToString(sum[:])] = name
	}
	snapshot, err := s.reader.Read(ctx, cfg, services, progress)
	if err != nil {
		return nil, err
	}
	snapshot.Keyless = keyless
	return snapshot, nil
}

// terminal says whether w is one.
func terminal(w io.Writer) (fd int, ok bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// width is how many characters a line of w has room for.
func width(w io.Writer) int {
	if fd, ok := terminal(w); ok {
		if n, _, err := term.GetSize(fd); err == nil && n > 0 {
			return n
		}
	}
	return plainWidth
}
