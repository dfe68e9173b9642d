package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/pagerelay/pagerelay/receiver"
)

// tokenCommand is `pagerelay token create`.
type tokenCommand struct {
	create string
	prefix string
}

func newToken(app *kingpin.Application) *tokenCommand {
	c := &tokenCommand{}
	cmd := app.Command("token", "Access tokens for the configuration's `access.tokens`.")
	create := cmd.Command("create", "Make a token and its hash. The token is shown once and kept nowhere.")
	create.Flag("prefix", "What the token begins with; name it as `prefix` in the configuration.").Default("sp_pd_").StringVar(&c.prefix)
	c.create = create.FullCommand()
	return c
}

func (c *tokenCommand) run(out io.Writer) error {
	token, hash, err := receiver.GenerateToken(c.prefix)
	if err != nil {
		return misused("--prefix: %w", err)
	}
	_, err = fmt.Fprintf(out, "token:  %s\nsha256: %s\n", token, hash)
	return err
}
