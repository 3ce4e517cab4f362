package roadside

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"ciglio/capture/evidence"
)

// maxBundle bounds what is read of one bundle, in bytes.
const maxBundle = 64 << 20

// A bundle is a file as anyone downloads it from the centre's pages.
type bundle struct {
	id   evidence.Hash
	data []byte
}

// fetchBundles downloads the bundle of each record. A record that the centre
// does not have is left out: the audit says so.
func fetchBundles(ctx context.Context, address string, ids []evidence.Hash) ([]bundle, error) {
	var all []bundle
	for _, id := range ids {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/records/%v/bundle.zip", address, id), nil)
		if err != nil {
			return nil, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(response.Body, maxBundle))
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		if response.StatusCode == http.StatusOK {
			all = append(all, bundle{id, data})
		}
	}
	return all, nil
}

// verify checks the bundle offline, as ciglio verify does.
func (b bundle) verify(trust *evidence.Trust) error {
	content, err := evidence.ReadBundle(bytes.NewReader(b.data), int64(len(b.data)))
	if err != nil {
		return fmt.Errorf("bundle %.12s: %w", b.id.String(), err)
	}
	verdict := evidence.Verify(content, trust)
	if verdict.OK() && verdict.Record.ID == b.id {
		return nil
	}
	var words []string
	for _, c := range verdict.Checks {
		if c.Status != evidence.Pass {
			words = append(words, fmt.Sprintf("%s: %v: %s", c.Name, c.Status, c.Words()))
		}
	}
	return fmt.Errorf("bundle %.12s: %s", b.id.String(), strings.Join(words, "; "))
}

// checkKeep refuses a folder that has bundles already: they would stand beside a
// trust file that is not theirs.
func checkKeep(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "bundles", "*.zip"))
	if err == nil && len(old) > 0 {
		err = fmt.Errorf("--keep %s: holds bundles of another run", dir)
	}
	if err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(dir, "bundles"), 0o755)
}

// keep leaves the bundles and the trust file in a folder.
func keep(dir string, bundles []bundle, trust []byte) error {
	for _, b := range bundles {
		if err := os.WriteFile(filepath.Join(dir, "bundles", b.id.String()+".zip"), b.data, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "trust.pem"), trust, 0o644)
}
