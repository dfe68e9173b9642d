package register_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pagerelay/pagerelay/internal/leaf/register"
)

func TestShared(t *testing.T) {
	reg := prometheus.NewRegistry()
	counter := func(help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x_total", Help: help}, []string{"code"})
	}
	first, err := register.Shared(reg, counter("Help."))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := register.Shared(reg, counter("Help.")); err != nil || again != first {
		t.Errorf("the same again: got %p, %v, want the first, %p", again, err, first)
	}
	if _, err := register.Shared(reg, counter("Other help.")); err == nil {
		t.Error("another metric of that name: got no error")
	}
	if _, err := register.Shared(nil, counter("Help.")); err != nil {
		t.Errorf("no registerer: got %v", err)
	}
}
