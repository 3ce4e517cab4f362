package roadside

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ciglio/cross/board"
	"ciglio/cross/board/boardtest"
	"ciglio/cross/board/guest"
)

// TestFirstStartPowerCuts pulls the plug of a device that has never run, while it
// makes its key and certificate, and soon after: the next start must find both, or
// make what is missing, and what somebody may have enrolled must not change.
func TestFirstStartPowerCuts(t *testing.T) {
	cuts := 40
	if boardtest.Need(t, boardtest.All) == boardtest.Soak {
		cuts = 400
	}
	const arch = "arm-7"
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	p := newDisk(t, arch, dir, root)
	p.broker = guest.HostAddress + ":1883" // it does not come that far
	config := p.configuration("http://" + guest.HostAddress + "/")
	change := func(o *board.Options) {
		program, err := board.Build(t.Context(), arch, "ciglio/agent/cmd/ciglio")
		if err != nil {
			t.Fatal(err)
		}
		o.Files["/bin/ciglio"] = program
		o.Texts = map[string]string{
			"/etc/ciglio/ciglio.toml":  config,
			"/etc/ciglio/audited.toml": strings.ReplaceAll(config, "/flash/", "/audited/"),
		}
	}

	s := p.boot("first", change)
	first, err := s.Run(t.Context(), "ciglio", "run")
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Stat(p.file("log-first"))
	if err != nil {
		t.Fatal(err)
	}
	if first.Code != 1 || !bytes.Contains(first.Stderr, []byte("certificate made")) {
		t.Fatalf("the first start ended with %d: %s", first.Code, first.Stderr)
	}
	s.heard = []overheard{{log.Size(), "made"}}
	made := p.ask(s, order{Look: "/flash"}).Found
	<-time.After(time.Duration(p.random.Int64N(int64(6 * time.Second)))) // after 5 s the kernel writes for itself
	p.pull(s)
	p.read(s)

	cut := s.history
	s = p.boot("audit", change)
	var none, half, whole int // what the cuts had left of the identity
	for _, c := range p.cutPoints(&cut, cuts) {
		left, err := cut.at(nil, 0, c)
		if err != nil {
			t.Fatal(err)
		}
		v := p.judge(s, left, order{Config: "/etc/ciglio/audited.toml"})
		if cut.heardBy(cut.heard[0], c.end) && v.Found != made {
			t.Errorf("%v: found %+v, and %+v had been told", c, v.Found, made)
		}
		for _, f := range v.Faults {
			t.Errorf("%v: %s", c, f)
		}
		switch {
		case v.Found == made:
			whole++
		case v.Found == identity{}:
			none++
		default:
			half++
		}
		p.audits++
		p.tool("e2fsck", "-f", "-n", p.file("audited"))
	}
	t.Logf("%d cuts of the first start: %d before the key, %d between it and the certificate, %d after both", p.audits, none, half, whole)
	if none == 0 || half == 0 || whole == 0 {
		t.Error("the cuts did not fall into all of them")
	}
}
