package enrol

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"
)

// Pauses between attempts to renew that failed.
const (
	firstPause   = time.Minute
	longestPause = 6 * time.Hour
	lookAgain    = time.Hour // for a certificate that came another way
)

// Due returns when a certificate is to be renewed: at two thirds of its life, and up
// to a twentieth of it earlier, as the device's id says, so that devices which were
// enrolled on one day do not all come at once.
func (c *Client) Due(notBefore, notAfter time.Time) time.Time {
	life := notAfter.Sub(notBefore)
	sum := sha256.Sum256(c.o.Device[:])
	early := time.Duration(float64(life) / 20 * float64(binary.BigEndian.Uint32(sum[:4])) / (1 << 32))
	return notBefore.Add(life*2/3 - early)
}

// Run renews the certificate whenever it is due, until ctx ends, and then returns
// nil: a device without one keeps its records and says why they wait. It logs each
// change of state once. A device that is not enrolled yet waits for it.
func (c *Client) Run(ctx context.Context, log *slog.Logger) {
	pause, said := firstPause, ""
	say := func(words string, args ...any) {
		if words != said {
			log.Warn(words, args...)
		}
		said = words
	}
	for {
		wait := lookAgain
		_, own, err := c.installed()
		now := c.o.Now()
		switch {
		case err != nil:
			say("no certificate to renew", "error", err)
		case now.Before(c.Due(own.Leaf.NotBefore, own.Leaf.NotAfter)):
			wait = min(lookAgain, c.Due(own.Leaf.NotBefore, own.Leaf.NotAfter).Sub(now))
			pause, said = firstPause, ""
		default:
			fresh, err := c.Renew(ctx)
			if err == nil {
				log.Info("certificate renewed", "until", fresh.NotAfter)
				if err := c.Refresh(ctx); err != nil {
					log.Warn("authorities not refreshed", "error", err)
				}
				pause, said = firstPause, ""
				continue
			}
			if ctx.Err() != nil {
				return
			}
			wait, pause = pause, min(2*pause, longestPause)
			var later *WaitError
			if errors.As(err, &later) {
				wait = later.After
			}
			say("certificate not renewed", "error", err, "until", own.Leaf.NotAfter)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
