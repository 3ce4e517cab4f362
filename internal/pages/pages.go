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
	"io/fs"
	"net"
	"net/http"
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

// Assets are the files that pages refer to: style.css, live.js and icon.svg.
type Assets map[string]asset

type asset struct {
	media, version string
	data           []byte
}

// ReadAssets reads them from the folder assets.
func ReadAssets(files fs.FS) (Assets, error) {
	all := Assets{}
	for name, media := range map[string]string{
		"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		data, err := fs.ReadFile(files, "assets/"+name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		all[name] = asset{media, hex.EncodeToString(sum[:6]), data}
	}
	return all, nil
}

// Link is the address of an asset; its version is part of it, so that it may be kept.
func (a Assets) Link(name string) string { return "/assets/" + name + "?v=" + a[name].version }

// Send answers with an asset; false, and nothing is sent, when there is none of the
// name.
func (a Assets) Send(w http.ResponseWriter, name string) bool {
	one, ok := a[name]
	if !ok {
		return false
	}
	w.Header().Set("Content-Type", one.media)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
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
