// Command deb makes the Debian packages of the device's program, with a list of
// what each binary is made of, check sums and a signature.
//
// Manual page, completions and default configuration are what the program prints
// of itself; changelog and copyright are those of the project and of the modules
// that the binary links. The same source gives the same bytes: every time in a
// package is that of SOURCE_DATE_EPOCH, which must be set.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, os.Getenv)) }

func run(args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	f := flag.NewFlagSet("deb", flag.ContinueOnError)
	f.SetOutput(stderr)
	var o options
	f.StringVar(&o.root, "root", ".", "`folder` of the project")
	f.StringVar(&o.dist, "dist", "dist", "`folder` with ciglio-linux-*; packages are written to it")
	f.StringVar(&o.revision, "revision", "", "`name` of the commit, which tells versions apart that are not released")
	arches := f.String("arch", "armhf,arm64,amd64", "Debian's `names` of the processors")
	if err := f.Parse(args); err != nil || f.NArg() > 0 {
		return 2
	}
	o.arches = strings.Split(*arches, ",")
	o.key = getenv("CIGLIO_SIGNING_KEY")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := o.time(getenv("SOURCE_DATE_EPOCH"))
	if err == nil {
		err = build(ctx, o, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "deb: %v\n", err)
		return 1
	}
	if o.key == "" {
		fmt.Fprintln(stderr, "deb: SHA256SUMS is not signed: CIGLIO_SIGNING_KEY names no key")
	}
	return 0
}
