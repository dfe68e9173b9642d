package outbox_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pagerelay/pagerelay/internal/outbox"
)

func TestHealthy(t *testing.T) {
	store, err := outbox.Open(t.TempDir(), outbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.Run(ctx) }()
	if err := store.Healthy(ctx); err != nil {
		t.Errorf("fresh store: got %v, want nil", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := store.Healthy(t.Context()); !errors.Is(err, outbox.ErrClosed) {
		t.Errorf("closed store: got %v, want %v", err, outbox.ErrClosed)
	}
}
