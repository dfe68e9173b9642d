package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"github.com/pagerelay/pagerelay/internal/incident"
	"github.com/pagerelay/pagerelay/internal/leaf/oneline"
	"github.com/pagerelay/pagerelay/internal/web"
)

// maxAnswer bounds what is read of the sidecar's answer, in bytes.
const maxAnswer = 64 << 20

// outboxCommand is `pagerelay outbox list | show | retry | drop`.
type outboxCommand struct {
	url        string
	httpConfig string
	tokenFile  string

	list struct {
		name     string
		statuses []string
		services []string
		closed   bool
		limit    int
		format   string
	}
	show struct {
		name   string
		ref    string
		limit  int
		format string
	}
	retry struct{ name, ref string }
	drop  struct{ name, ref, reason string }
}

func newOutbox(app *kingpin.Application) *outboxCommand {
	c := &outboxCommand{}
	cmd := app.Command("outbox", "Look into and mend the outbox of a running pagerelay, over its HTTP API.")
	cmd.Flag("url", "The address of pagerelay.").Default("http://127.0.0.1:9095").StringVar(&c.url)
	cmd.Flag("http.config.file", "A file with Prometheus' HTTP client configuration: TLS, authentication.").StringVar(&c.httpConfig)
	cmd.Flag("token-file", "A file with an access token.").StringVar(&c.tokenFile)

	const ref = "The ID of an incident, or as much of it as makes it unique, or its dedup key."
	list := cmd.Command("list", "List the incidents that are not closed.")
	list.Flag("status", "Only those in this status: "+strings.Join(incident.Statuses(), ", ")+" or "+web.StatusClosed+"; repeatable.").StringsVar(&c.list.statuses)
	list.Flag("service", "Only those of this service; repeatable.").StringsVar(&c.list.services)
	list.Flag("closed", "Closed ones, too, the newest first.").BoolVar(&c.list.closed)
	numberVar(list.Flag("limit", "The most closed ones to list."), 0, 100, &c.list.limit)
	list.Flag("format", "text or json.").Default(formatText).EnumVar(&c.list.format, formatText, formatJSON)
	c.list.name = list.FullCommand()

	show := cmd.Command("show", "Show an incident, its alerts and all that happened to it; closed ones, too.")
	show.Arg("incident", ref).Required().StringVar(&c.show.ref)
	numberVar(show.Flag("limit", "How often at most, the newest first, if it was opened and closed several times."), 1, 1, &c.show.limit)
	show.Flag("format", "text or json.").Default(formatText).EnumVar(&c.show.format, formatText, formatJSON)
	c.show.name = show.FullCommand()

	retry := cmd.Command("retry", "Lift what blocks an incident, and try it again at once. Needs --web.enable-admin-api at the sidecar.")
	retry.Arg("incident", ref).Required().StringVar(&c.retry.ref)
	c.retry.name = retry.FullCommand()

	drop := cmd.Command("drop", "Put an incident away without telling PagerDuty anything more of it. Needs --web.enable-admin-api at the sidecar.")
	drop.Arg("incident", ref).Required().StringVar(&c.drop.ref)
	drop.Flag("reason", "Why, for the ledger.").StringVar(&c.drop.reason)
	c.drop.name = drop.FullCommand()
	return c
}

func (c *outboxCommand) run(ctx context.Context, name string, out io.Writer) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.http.CloseIdleConnections()
	switch name {
	case c.list.name:
		return c.runList(ctx, api, out)
	case c.show.name:
		return c.runShow(ctx, api, out)
	case c.retry.name:
		return runChange(ctx, api, out, c.retry.ref, "retry", nil, "is retried")
	case c.drop.name:
		q := url.Values{}
		if c.drop.reason != "" {
			q.Set("reason", c.drop.reason)
		}
		return runChange(ctx, api, out, c.drop.ref, "drop", q, "is dropped")
	}
	return fmt.Errorf("no subcommand %q", name)
}

func (c *outboxCommand) runList(ctx context.Context, api *outboxAPI, out io.Writer) error {
	q := url.Values{"status": c.list.statuses, "service": c.list.services, "limit": {strconv.Itoa(c.list.limit)}}
	if c.list.closed {
		q.Set("closed", "true")
	}
	list := []web.Summary{}
	if err := api.call(ctx, http.MethodGet, "", q, &list); err != nil {
		return err
	}
	if c.list.format == formatJSON {
		return writeJSON(out, list, "  ")
	}
	return printList(out, list, time.Now())
}

func (c *outboxCommand) runShow(ctx context.Context, api *outboxAPI, out io.Writer) error {
	id, err := api.resolve(ctx, c.show.ref, true)
	if err != nil {
		return err
	}
	var list []web.Incident
	if err = api.call(ctx, http.MethodGet, "/"+url.PathEscape(id), url.Values{"limit": {strconv.Itoa(c.show.limit)}}, &list); err != nil {
		return err
	}
	if c.show.format == formatJSON {
		return writeJSON(out, list, "  ")
	}
	for i, in := range list {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := printIncident(out, in); err != nil {
			return err
		}
	}
	return nil
}

func runChange(ctx context.Context, api *outboxAPI, out io.Writer, ref, verb string, q url.Values, done string) error {
	id, err := api.resolve(ctx, ref, false)
	if err != nil {
		return err
	}
	var in web.Summary
	if err = api.call(ctx, http.MethodPost, "/"+url.PathEscape(id)+"/"+verb, q, &in); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s (service %s, %s) %s\n", oneline.Visible(in.ID), oneline.Visible(in.Service), oneline.Visible(in.DedupKey), done)
	return err
}

// outboxAPI is the HTTP API of a running pagerelay.
type outboxAPI struct {
	base string
	http *http.Client
}

func (c *outboxCommand) client() (*outboxAPI, error) {
	u, err := url.Parse(c.url)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, misused("--url: must be http(s)://HOST[:PORT][/PATH], got %q", c.url)
	}
	hc := &promconfig.DefaultHTTPClientConfig
	if c.httpConfig != "" {
		if hc, _, err = promconfig.LoadHTTPConfigFile(c.httpConfig); err != nil {
			return nil, fmt.Errorf("load --http.config.file: %w", err)
		}
	}
	cfg := *hc
	if c.tokenFile != "" {
		if cfg.Authorization != nil {
			return nil, misused("--token-file: --http.config.file has authorization already")
		}
		cfg.Authorization = &promconfig.Authorization{Type: "Bearer", CredentialsFile: c.tokenFile}
	}
	if err = cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check HTTP client configuration: %w", err)
	}
	client, err := promconfig.NewClientFromConfig(cfg, "pagerelay")
	if err != nil {
		return nil, fmt.Errorf("make HTTP client: %w", err)
	}
	return &outboxAPI{base: strings.TrimRight(c.url, "/") + "/api/v1/outbox", http: client}, nil
}

// resolve makes an ID, whole or cut, of what a person calls an incident by.
func (api *outboxAPI) resolve(ctx context.Context, ref string, closed bool) (string, error) {
	// The shape of incident.ID, and of one that a changed routing key left behind.
	if regexp.MustCompile(`^[0-9a-f]{1,32}(-[0-9a-f]{0,8})?$`).MatchString(ref) {
		return ref, nil
	}
	q := url.Values{"dedup_key": {ref}}
	if closed {
		q.Set("closed", "true")
	}
	var list []web.Summary
	if err := api.call(ctx, http.MethodGet, "", q, &list); err != nil {
		return "", err
	}
	ids := map[string]string{}
	for _, in := range list {
		ids[in.ID] = in.Service
	}
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("no incident has the dedup key %q", ref)
	case 1:
		return list[0].ID, nil
	}
	var names []string
	for id, service := range ids {
		names = append(names, id+" (service "+service+")")
	}
	return "", fmt.Errorf("%d incidents have the dedup key %q, give an ID: %s", len(ids), ref, strings.Join(names, ", "))
}

// call asks the API and decodes what it says into data.
func (api *outboxAPI) call(ctx context.Context, method, path string, q url.Values, data any) error {
	target := api.base + path
	if len(q) > 0 {
		target += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", version.ComponentUserAgent("pagerelay"))
	resp, err := api.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask pagerelay: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer of pagerelay: %w", err)
	}
	r := web.Response{Data: data}
	if err := json.Unmarshal(body, &r); err != nil || r.Status == "" {
		// The door's own refusals, such as 401, are one line of text.
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		if resp.StatusCode == http.StatusUnauthorized {
			// The line itself is for those who configure Alertmanager.
			line = "give an access token with --token-file, or other credentials with --http.config.file"
		}
		return fmt.Errorf("%s %s: %s: %.200s", method, target, resp.Status, line)
	}
	switch {
	case r.Status == "success":
		return nil
	case r.ErrorType == web.BadData: // what is asked for is what the person has typed.
		return misused("%s", r.Error)
	}
	return errors.New(r.Error)
}
