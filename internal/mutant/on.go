//go:build mutant

package mutant

import "os"

var tried = ID(os.Getenv("PAGERELAY_MUTANT"))

// On says whether the mutant is the one being tried.
func On(id ID) bool { return id == tried }
