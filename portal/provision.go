package portal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"ciglio/internal/provisioning"
)

// inspectFlags says what is in a provisioning bundle, and whether its signatures
// are complete.
func inspectFlags(flags *flag.FlagSet) func(context.Context, io.Writer, io.Writer, bool) (any, error) {
	bundle := flags.String("bundle", "", "`file` of the bundle (required)")
	trust := flags.String("trust", "", "trust `bundle` whose keys are believed; without it signatures are not checked")
	return func(context.Context, io.Writer, io.Writer, bool) (any, error) {
		if err := required("bundle", *bundle); err != nil {
			return nil, err
		}
		b, err := openBundle(*bundle)
		if err != nil {
			return nil, err
		}
		var anchor *provisioning.Anchor
		if *trust != "" {
			t, err := openBundle(*trust)
			if err == nil {
				anchor, err = t.Anchor()
			}
			if err != nil {
				return nil, err
			}
		}
		s := b.Summarize(anchor, time.Now())
		if s.Why != "" {
			err = errors.New(s.Why)
		}
		return s, err
	}
}

func openBundle(path string) (*provisioning.Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, provisioning.MaxBundle+1))
	if err != nil {
		return nil, err
	}
	b, err := provisioning.Open(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
