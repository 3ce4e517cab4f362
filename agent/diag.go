package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/diag"
	"ciglio/agent/journal"
	"ciglio/capture/evidence"
	"ciglio/internal/durable"
	"ciglio/uplink/outbox"
)

// maxDiag is the largest archive that the command writes, in bytes, and maxDiagFile
// what is read of one file for it.
const maxDiag, maxDiagFile = 1 << 20, 64 << 10

// diagLog is how much of what the service logged last is kept in memory, in bytes.
const diagLog = 64 << 10

// diagJournal is how many entries of the journal are in an archive.
const diagJournal = 200

const diagMore = `The archive holds the version, the configuration, the newest entries of the
journal, how the outbox is, and what the kernel says of the machine. Keys,
pictures and traces are never in it; passwords, tokens, plates and the like are
taken out of every text.`

// diagCollect writes the archive of a diagnosis.
func diagCollect(f flags) action {
	path := f.String("config", config.DefaultPath, "configuration `file`")
	out := f.String("out", "", "new `file` for the archive; without it ciglio-diag-TIME.zip here")
	return func(args []string, stdout, stderr io.Writer) int {
		if exit, ok := f.parseAlone(args); !ok {
			return exit
		}
		c, err := loadConfig(*path)
		if c == nil {
			c = config.Default()
		}
		view, unread := outbox.OpenView(outboxDir(c), evidence.DeviceID{})
		parts := diagParts(c, *path, err, nil)
		if unread != nil {
			parts = append(parts, diag.Failed("journal.txt", unread))
		} else {
			parts = append(parts, diagStore(view, view.Stats())...)
			view.Close()
		}
		b, err := diag.Archive(parts, maxDiag, diagSecrets(c)...)
		if err == nil {
			if *out == "" {
				*out = "ciglio-diag-" + time.Now().UTC().Format("20060102T150405Z") + ".zip"
			}
			if err = durable.Create(*out, b); err != nil {
				err = fmt.Errorf("%s: %w", *out, err)
			}
		}
		if err != nil {
			return fail(stderr, err, "--out names a new file where you may write")
		}
		if *f.json {
			printJSON(stdout, map[string]any{"file": *out, "bytes": len(b), "files": len(parts)})
		} else {
			fmt.Fprintf(stdout, "%s: %d bytes, with %s\n", *out, len(b), diag.Names(parts))
		}
		return exitGood
	}
}

// diagParts is what an archive has of the program and the machine. log is what the
// program logged last; nil for nothing.
func diagParts(c *config.Config, path string, configErr error, log []byte) []diag.Part {
	version := map[string]any{"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "version": Version, "now": time.Now().UTC()}
	if s, err := Software(); err == nil {
		version["core_id"], version["binary"] = s.Core.String(), s.Binary.String()
	}
	text, _ := json.MarshalIndent(version, "", "  ")
	parts := []diag.Part{{Name: "version.json", Text: text}}
	if configErr != nil {
		parts = append(parts, diag.Part{Name: "configuration-faults.txt", Text: []byte(path + ": " + configErr.Error() + "\n")})
	}
	if statement, err := c.Statement(); err != nil {
		parts = append(parts, diag.Failed("configuration.toml", err))
	} else {
		parts = append(parts, diag.Part{Name: "configuration.toml", Text: statement})
	}
	for _, file := range []string{"/proc/version", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/self/status", "/proc/mounts", "/proc/interrupts"} {
		parts = append(parts, readPart(file))
	}
	if log != nil {
		parts = append(parts, diag.Part{Name: "log.txt", Text: log, Newest: true})
	}
	return parts
}

func readPart(file string) diag.Part {
	name := "machine/" + filepath.Base(file) + ".txt"
	f, err := os.Open(file)
	if err != nil {
		return diag.Failed(name, err)
	}
	defer f.Close()
	text, err := diag.Read(f, maxDiagFile)
	if err != nil {
		return diag.Failed(name, err)
	}
	return diag.Part{Name: name, Text: text}
}

// diagStore is what an archive has of the outbox and the journal.
func diagStore(store journal.Store, stats outbox.Stats) []diag.Part {
	figures, _ := json.MarshalIndent(stats, "", "  ")
	var text bytes.Buffer
	entries, err := journal.Read(store, journal.Filter{Last: diagJournal})
	printJournal(&text, entries)
	if err != nil {
		fmt.Fprintf(&text, "not read: %v\n", err)
	}
	return []diag.Part{{Name: "outbox.json", Text: figures}, {Name: "journal.txt", Text: text.Bytes(), Newest: true}}
}

// diagSecrets returns what the password file of a configuration holds.
func diagSecrets(c *config.Config) []string {
	if password, err := readPassword(c.Camera.Password); err == nil && password != "" {
		return []string{password}
	}
	return nil
}

// diagnostics returns what answers the order for them: what fits, of a device that
// runs.
func diagnostics(c *config.Config, store *outbox.Outbox, log *diag.Tail) func() ([]byte, string, error) {
	return func() ([]byte, string, error) {
		parts := append(diagParts(c, "", nil, log.Text()), diagStore(store, store.Stats())...)
		b, err := diag.Archive(parts, evidence.MaxAnswer, diagSecrets(c)...)
		return b, "application/zip", err
	}
}
