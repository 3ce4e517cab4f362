// Package pages is what the servers of pages, the device's and the centre's, share:
// what every answer carries, the files that pages refer to, and how serving ends.
//
// What it keeps true: a page takes nothing from another host, runs no script or style
// of its own, stands in nobody's frame and is kept by nobody; a file that may be kept
// has the hash of its bytes in its address.
//
// [Assets] are safe for concurrent use.
package pages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strings"
	"time"
)

// Protect sets what every answer carries. Forms may be sent to the given source, in the
// words of a content security policy: 'self' or 'none'.
func Protect(h http.Header, forms string) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action "+forms+"; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("Cache-Control", "no-store")
}

// Assets are the files that pages refer to, such as style.css, by their names.
type Assets map[string]asset

type asset struct {
	media, version string
	data           []byte
}

// media are those of the files that pages may refer to.
var media = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	".png": "image/png", ".woff2": "font/woff2",
}

// ReadAssets reads all files in the folders assets. Two of one name are an error.
func ReadAssets(folders ...fs.FS) (Assets, error) {
	all := Assets{}
	for _, folder := range folders {
		names, err := fs.Glob(folder, "assets/*")
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			name := path.Base(file)
			data, err := fs.ReadFile(folder, file)
			if err != nil {
				return nil, err
			}
			kind, known := media[path.Ext(name)]
			if _, twice := all[name]; twice || !known {
				return nil, fmt.Errorf("asset %s: is there twice, or no page may refer to its kind", name)
			}
			sum := sha256.Sum256(data)
			all[name] = asset{kind, hex.EncodeToString(sum[:6]), data}
		}
	}
	return all, nil
}

// Link is the address of an asset, such as /assets/style.0123456789ab.css; a hash of
// the bytes is part of it, so that it may be kept.
func (a Assets) Link(name string) (string, error) {
	one, ok := a[name]
	if !ok {
		return "", fmt.Errorf("asset %s: there is none", name)
	}
	ending := path.Ext(name)
	return "/assets/" + strings.TrimSuffix(name, ending) + "." + one.version + ending, nil
}

// Send answers with an asset by its name, or by that with a hash, as in its address;
// false, and nothing is sent, when there is none. An address with another hash than
// the present one is answered with the present bytes, and not kept: while programs are
// replaced, the page may be another's.
func (a Assets) Send(w http.ResponseWriter, name string) bool {
	one, ok := a[name]
	if !ok {
		ending := path.Ext(name)
		stem := strings.TrimSuffix(name, ending)
		version := strings.TrimPrefix(path.Ext(stem), ".")
		if one, ok = a[strings.TrimSuffix(stem, "."+version)+ending]; !ok || version == "" {
			return false
		}
		if version == one.version {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
	}
	w.Header().Set("Content-Type", one.media)
	w.Write(one.data)
	return true
}

// Serve serves on l until ctx ends, and closes it. Requests in hand get the time of
// grace, and are cut off then.
func Serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := server.Shutdown(wait)
	if err != nil {
		err = server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
