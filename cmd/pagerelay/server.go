package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v4"

	"github.com/pagerelay/pagerelay/receiver"
)

// webServer serves a handler on several listeners.
type webServer struct {
	listeners  []net.Listener
	handler    http.Handler
	configFile string        // exporter-toolkit's; "" for none.
	drain      func()        // called first at shutdown.
	timeout    time.Duration // for what is being served at shutdown.
	log        *slog.Logger
}

// Run serves until ctx ends or a listener fails.
func (s *webServer) Run(ctx context.Context) error {
	// A server a listener: exporter-toolkit changes the server that it is given.
	servers := make([]*http.Server, len(s.listeners))
	ended := make(chan error, len(servers))
	flags := &toolkit.FlagConfig{WebConfigFile: &s.configFile}
	for i, l := range s.listeners {
		servers[i] = receiver.NewServer(s.handler, s.log)
		go func() { ended <- toolkit.Serve(l, servers[i], flags, s.log) }()
	}
	var failure error
	running := len(servers)
	select {
	case failure = <-ended:
		running--
	case <-ctx.Done():
	}
	s.drain()
	s.shutdown(servers)
	for range running {
		if err := <-ended; failure == nil && !errors.Is(err, http.ErrServerClosed) {
			failure = err
		}
	}
	return failure
}

// shutdown waits for what is being served, and cuts it off when it takes too long.
func (s *webServer) shutdown(servers []*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(ctx); err != nil {
			s.log.Warn("Callers that had not finished are cut off; Alertmanager sends again", "err", err)
			_ = server.Close() // the listener is closed, and so is what was cut off.
		}
	}
}

// underPrefix serves h under the path of --web.external-url.
func underPrefix(prefix string, h http.Handler) http.Handler {
	if prefix == "" {
		return h
	}
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", http.StripPrefix(prefix, h))
	mux.Handle("GET /{$}", http.RedirectHandler(prefix+"/", http.StatusFound))
	return mux
}

// guards are what stands before every path by exporter-toolkit's configuration.
type guards struct {
	users        bool // basic authentication.
	certificates bool // callers show a certificate, and it is verified.
}

func (g guards) any() bool { return g.users || g.certificates }

// checkWebConfig checks exporter-toolkit's configuration file, and says how it
// asks callers who they are.
func checkWebConfig(file string) (g guards, err error) {
	if file == "" {
		return g, nil
	}
	if err = toolkit.Validate(file); err != nil {
		return g, fmt.Errorf("check --web.config.file=%s: %w", file, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return g, fmt.Errorf("check --web.config.file: %w", err)
	}
	var c struct {
		RateLimit yaml.Node         `yaml:"rate_limit"`
		Users     map[string]string `yaml:"basic_auth_users"`
		TLS       struct {
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
	}
	if err = yaml.Unmarshal(text, &c); err != nil {
		return g, fmt.Errorf("check --web.config.file=%s: %w", file, err)
	}
	if !c.RateLimit.IsZero() {
		return g, fmt.Errorf("check --web.config.file=%s: rate_limit answers 429, which Alertmanager takes for final: the page would be lost; remove it and use access.rate_limit of --config.file", file)
	}
	return guards{users: len(c.Users) > 0, certificates: c.TLS.ClientAuth == "RequireAndVerifyClientCert"}, nil
}
