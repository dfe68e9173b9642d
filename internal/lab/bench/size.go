package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"slices"
)

const maxSize = 25_000_000 // bytes.

// size is figure 7: the binary, which must be static and stripped.
func size(_ context.Context, o options) ([]row, error) {
	file, err := os.Stat(o.binary)
	if err != nil {
		return nil, fmt.Errorf("measure binary: %w", err)
	}
	f, err := elf.Open(o.binary)
	if err != nil {
		return nil, fmt.Errorf("read binary: %w", err)
	}
	defer f.Close()
	static := !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	stripped := f.Section(".symtab") == nil && f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil
	kind := map[bool]string{true: "static", false: "dynamic"}[static] + ", " + map[bool]string{true: "stripped", false: "not stripped"}[stripped]
	return []row{{
		figure: "binary, static and stripped", measured: fmt.Sprintf("%.1f MB", float64(file.Size())/1e6), peer: kind,
		limit: fmt.Sprintf("%d MB", maxSize/1_000_000), met: static && stripped && file.Size() <= maxSize,
	}}, nil
}
