package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pagerelay/pagerelay/internal/config"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
)

// checkConfigCommand is `pagerelay check-config FILE...`.
type checkConfigCommand struct {
	name  string
	files []string
}

func newCheckConfig(app *kingpin.Application) *checkConfigCommand {
	c := &checkConfigCommand{}
	cmd := app.Command("check-config", "Check configuration files: all faults at once, each with its path and line. Exits 1 on any.")
	cmd.Arg("file", "The files; - is standard input, whose file names are relative to the working directory.").Required().StringsVar(&c.files)
	c.name = cmd.FullCommand()
	return c
}

func (c *checkConfigCommand) run(stdin io.Reader, out io.Writer) error {
	failed := 0
	for _, file := range c.files {
		if !checkFile(stdin, out, file) {
			failed++
		}
		fmt.Fprintln(out)
	}
	if failed > 0 {
		return fmt.Errorf("check configuration: %d of %d files have faults", failed, len(c.files))
	}
	return nil
}

// checkFile says whether a file is one that serve would start with.
func checkFile(stdin io.Reader, out io.Writer, file string) bool {
	var cfg *config.Config
	var err error
	if file == "-" || file == "" { // kingpin makes "" of a lone dash.
		fmt.Fprint(out, "Checking standard input")
		var text []byte
		if text, err = io.ReadAll(stdin); err == nil {
			cfg, err = config.Parse(text, ".")
		}
	} else {
		fmt.Fprintf(out, "Checking '%s'", oneline.Visible(file))
		cfg, err = config.Load(file)
	}
	var p *parts
	if err == nil {
		p, err = assemble(cfg, nil)
	}
	if err != nil {
		fmt.Fprintln(out, "  FAILED:")
		for _, line := range lines(err.Error()) {
			fmt.Fprintln(out, " -", oneline.Visible(line))
		}
		return false
	}
	fmt.Fprintln(out, "  SUCCESS")
	fmt.Fprintln(out, "Found:")
	found := func(n int, one, many string) {
		if n == 1 {
			many = one
		}
		fmt.Fprintf(out, " - %d %s\n", n, many)
	}
	found(len(cfg.Services), "service", "services")
	found(len(p.mapper.Rules()), "rule", "rules")
	fmt.Fprintf(out, " - what no rule takes goes to service %s\n", oneline.Visible(p.mapper.DefaultService()))
	found(len(cfg.Alertmanager.URLs), "Alertmanager", "Alertmanagers")
	found(len(cfg.Access.Tokens), "access token", "access tokens")
	found(len(cfg.Coverage.Schedules)+len(cfg.Coverage.Policies), "audited schedule or policy", "audited schedules and policies")
	// A wrong key file is no fault of the configuration: it may be right later, or on another machine.
	for _, name := range cfg.ServiceNames() {
		if err := cfg.Services[name].CheckKeyFiles(); err != nil {
			for _, line := range lines(err.Error()) {
				fmt.Fprintf(out, "Warning: services.%s: %s\n", oneline.Visible(name), oneline.Visible(line))
			}
		}
	}
	return true
}
