package portal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"ciglio/portal/law"
)

// maxTable is the longest table of sanctions that is read, in bytes.
const maxTable = 1 << 20

// errTable marks a table that the announced rate does not give.
var errTable = errors.New("not the table that its rate gives")

// lawAskFlags answers questions from standard input: see docs/law.md.
func lawAskFlags(*flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	return func(_ context.Context, stdout, _ io.Writer, _ bool) (any, error) {
		l, err := law.Italy()
		if err != nil {
			return nil, err
		}
		return nil, l.Answers(os.Stdin, stdout)
	}
}

type lawCheck struct {
	Table       string           `json:"table"`
	Limits      int              `json:"limits"`
	Differences []law.Difference `json:"differences"`
}

func (c lawCheck) String() string {
	var b strings.Builder
	for _, d := range c.Differences {
		fmt.Fprintf(&b, "%s, %s: printed %d euro, the rate gives %d\n", d.Article, d.Limit, d.Printed, d.Wants)
	}
	fmt.Fprintf(&b, "%s: %d limits computed, %d differ", c.Table, c.Limits, len(c.Differences))
	return b.String()
}

// lawCheckFlags recomputes a new table from the last one and the rate in it.
func lawCheckFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	return func(_ context.Context, stdout, _ io.Writer, _ bool) (any, error) {
		l, err := law.Italy()
		if err != nil {
			return nil, err
		}
		f, err := os.Open(flags.Arg(0))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxTable))
		if err != nil {
			return nil, err
		}
		differences, computed, err := l.CheckUpdate(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flags.Arg(0), err)
		}
		c := lawCheck{Table: flags.Arg(0), Limits: computed, Differences: differences}
		if len(differences) > 0 {
			fmt.Fprintln(stdout, c)
			return nil, errTable
		}
		return c, nil
	}
}
