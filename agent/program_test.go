package agent

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ciglio/agent/config"
	"ciglio/agent/notify"
	"ciglio/agent/provision"
	"ciglio/agent/software"
	"ciglio/capture/evidence"
	p "ciglio/internal/provisioning"
)

// programmed returns the lives of a device on which a software bundle is installed, on
// trial, and the SHA-256 of its program.
func programmed(t *testing.T) (*lives, evidence.Hash) {
	t.Helper()
	program := make([]byte, 64)
	copy(program, "\x7fELF\x02\x01\x01")
	for at, v := range map[int]uint16{16: 2, 18: 62, 52: 64, 54: 56, 58: 64} {
		binary.LittleEndian.PutUint16(program[at:], v)
	}
	binary.LittleEndian.PutUint32(program[20:], 1)
	device, dir := evidence.DeviceID{1}, t.TempDir()
	root, signer := testKeyOf(t, "root"), signerOf(t, "root")
	register, err := evidence.SealRegister(&evidence.Register{Sequence: 1, Issued: time.Now()}, signer)
	if err != nil {
		t.Fatal(err)
	}
	roles, by := "institution = \"example\"\n", []evidence.Signer{}
	for _, role := range []p.Role{p.Operator, p.Supplier} {
		spki, err := evidence.EncodeKey(&testKeyOf(t, string(role)).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		by = append(by, signerOf(t, string(role)))
		roles += fmt.Sprintf("[[key]]\nrole = %q\nname = \"desk\"\nkey = %q\nnot_before = \"1999-01-01T00:00:00Z\"\nnot_after = \"2099-12-31T23:59:59Z\"\n", role, base64.StdEncoding.EncodeToString(spki))
	}
	bundle := func(kind p.Kind, by []evidence.Signer, files ...p.File) provision.Named {
		t.Helper()
		b, err := p.Make(p.Statement{Kind: kind, Version: 2, Institution: "example", Devices: []evidence.DeviceID{device},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}, files)
		for _, s := range by {
			if err == nil {
				b, err = b.Sign(s)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return provision.Named{Name: string(kind), Content: b.Bytes}
	}
	sum := sha256.Sum256(program)
	text := fmt.Sprintf("version = \"0.2.0\"\ncore = \"%x\"\narchitecture = \"amd64\"\nsha256 = \"%x\"\n", sum, sum)
	state, err := provision.Open(filepath.Join(dir, "provisioned"), provision.Options{Device: device, Checks: provision.Known("amd64"), Root: signer.KeyID()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { state.Close() })
	plan, err := state.Plan([]provision.Named{
		bundle(p.Trust, []evidence.Signer{signer}, p.File{Name: "trust.pem", Content: evidence.EncodeTrust(&root.PublicKey, register.Bytes)}, p.File{Name: "roles.toml", Content: []byte(roles)}),
		bundle(p.Software, by, p.File{Name: "software.toml", Content: []byte(text)}, p.File{Name: "ciglio", Content: program}),
	})
	if err == nil {
		err = state.Install(plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	manager, err := notify.FromEnvironment(func(string) string { return "" }, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Device.Dir = dir
	return &lives{config: c, id: device, state: state, manager: manager, log: slog.New(slog.DiscardHandler), keeper: t.TempDir(), ownProgram: &evidence.Software{Binary: evidence.Hash{1}}}, sum
}

func (l *lives) left(t *testing.T, name string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(l.config.Device.Dir, software.Folder, name))
	return err == nil
}

// A new program is handed over while it is on trial, and what comes of it is what the
// privileged side says.
func TestANewProgramIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, program := programmed(t)
		b, err := l.state.Current(p.Software)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := l.state.Current(p.Trust)
		if err != nil {
			t.Fatal(err)
		}
		for _, outcome := range []string{software.Refused, software.PutBack, software.Stuck, software.Installed} {
			q, err := software.Ask(l.config.Device.Dir, b.SHA256().String(), trust.SHA256().String())
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(software.Answer{Format: 1, Number: q.Number, Bundle: q.Bundle, Outcome: outcome, Why: "it crashes"})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(l.keeper, software.AnswerName), text, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := l.program(t.Context()); err == nil || outcome != software.Installed && !strings.Contains(err.Error(), outcome+": it crashes") {
				t.Errorf("%s: %v", outcome, err)
			}
			if l.left(t, software.RequestName) {
				t.Errorf("%s: still asked for", outcome)
			}
		}
		// The answer to what was asked for before is none to a new request. The end of the
		// process in the middle leaves the request.
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for !l.left(t, software.RequestName) {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if _, err := l.program(ctx); !errors.Is(err, context.Canceled) || !l.left(t, software.RequestName) {
			t.Errorf("when the process ends: %v", err)
		}
		// The next process runs the new program, and says so when the device has started.
		l.ownProgram = &evidence.Software{Binary: program, Core: program}
		if fault, err := l.program(t.Context()); fault != nil || err != nil {
			t.Errorf("the new program: %v, %v", fault, err)
		}
		l.sayProgram()
		if !l.left(t, software.HealthyName) || l.left(t, software.RequestName) {
			t.Error("it has not said that the device started")
		}
		// Once installed, another program does not measure, and is not taken back.
		if _, err := l.state.Start(); err != nil {
			t.Fatal(err)
		}
		if err := l.state.Started(); err != nil {
			t.Fatal(err)
		}
		l.ownProgram = &evidence.Software{Binary: evidence.Hash{1}}
		if fault, err := l.program(t.Context()); fault == nil || err != nil {
			t.Errorf("another program: %v, %v", fault, err)
		}
	})
}

func TestNobodyInstallsPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := programmed(t)
		began := time.Now()
		if _, err := l.program(t.Context()); err == nil || !strings.Contains(err.Error(), "ciglio-software.path") || time.Since(began) > handoverTime+time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if l.left(t, software.RequestName) {
			t.Error("still asked for: it would be installed later, and nobody waits for it")
		}
	})
}
