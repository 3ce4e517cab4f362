// Command ciglio-witness holds transparency logs to what they have said before. See
// package witness and docs/log.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"ciglio/portal/log"
	"ciglio/portal/witness"
)

const usage = `usage: ciglio-witness --dir DIR --name NAME --log KEY [--log KEY ...] [--listen ADDRESS]

Cosigns checkpoints of the logs of these keys, as long as each log still holds all
that was cosigned before. It prints the line that names it in a log's policy.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("ciglio-witness", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	dir := flags.String("dir", "", "`folder` for its key and what it remembers")
	name := flags.String("name", "", "`name` of the witness, as witness.province.example")
	listen := flags.String("listen", "127.0.0.1:7380", "`address` for logs")
	var logs []string
	flags.Func("log", "`key` of a log, name+hash+key", func(s string) error {
		logs = append(logs, s)
		return nil
	})
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "ciglio-witness: %v\n%s", err, usage)
		return 2
	case *dir == "" || *name == "" || len(logs) == 0 || flags.NArg() > 0:
		fmt.Fprintf(stderr, "ciglio-witness: --dir, --name and at least one --log are needed, nothing else\n%s", usage)
		return 2
	}
	if err := serve(ctx, *dir, *name, *listen, logs, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "ciglio-witness: %v\n", err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, dir, name, listen string, logs []string, stdout, stderr io.Writer) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := log.OpenWitnessKey(filepath.Join(dir, "witness.key"), name)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	w, err := witness.New(dir, key, logs, logger)
	if err != nil {
		return err
	}
	defer w.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "witness %s %s http://%s/\n", key.Name(), key.Verifier(), l.Addr())
	server := &http.Server{
		Handler: w, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(last)
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
