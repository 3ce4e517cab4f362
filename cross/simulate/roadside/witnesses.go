package roadside

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"ciglio/portal"
	"ciglio/portal/log"
	cosigning "ciglio/portal/witness"
)

// openWitnesses has two witnesses listen on this machine until ctx ends, and returns the
// policy file that names them to the centre in dir.
func openWitnesses(ctx context.Context, dir string) (policy string, err error) {
	key, err := portal.LogKey(dir)
	if err != nil {
		return "", err
	}
	text := "log " + key + "\n"
	for _, name := range []string{"first.witness.example", "second.witness.example"} {
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o700); err != nil {
			return "", err
		}
		signer, err := log.OpenWitnessKey(filepath.Join(own, "witness.key"), name)
		if err != nil {
			return "", err
		}
		w, err := cosigning.New(own, signer, []string{key}, slog.New(slog.DiscardHandler))
		if err != nil {
			return "", err
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		server := &http.Server{Handler: w, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
		go server.Serve(l)
		context.AfterFunc(ctx, func() {
			server.Close()
			w.Close()
		})
		text += fmt.Sprintf("witness %s %s http://%s/\n", name, signer.Verifier(), l.Addr())
	}
	policy = filepath.Join(dir, "witnesses")
	return policy, os.WriteFile(policy, []byte(text), 0o600)
}
