package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/intake"
	"github.com/pagerelay/pagerelay/internal/outbox"
	"github.com/pagerelay/pagerelay/internal/selfalert"
)

// damageEvery is how often the outbox is asked whether its file was damaged.
const damageEvery = 10 * time.Second

func newOwnAlerts(door *intake.Door, reg prometheus.Registerer, logger *slog.Logger) *selfalert.Alerts {
	host, err := os.Hostname()
	if err != nil { // the alerts then do not say who raised them.
		logger.Warn("The name of this host is not known", "err", err)
	}
	return selfalert.New(door, selfalert.Config{Instance: host, Logger: logger.With("component", "selfalert"), Registerer: reg})
}

// watchDamage runs the alerts of our own, and raises the one about the outbox
// each time that a damaged file was moved aside.
func watchDamage(ctx context.Context, store *outbox.Store, own *selfalert.Alerts) error {
	ended := make(chan error, 1)
	go func() { ended <- own.Run(ctx) }()
	look := time.NewTicker(damageEvery)
	defer look.Stop()
	known := ""
	for {
		if name := store.Damaged(); name != known {
			known = name
			own.Raise(selfalert.OutboxDamaged)
		}
		select {
		case err := <-ended:
			return err
		case <-look.C:
		}
	}
}
