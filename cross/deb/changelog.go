package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A release is a section of CHANGELOG.md, such as "## 1.2.0, 2027-03-01" or
// "## 1.3.0, not released".
type release struct {
	version string
	date    time.Time // zero while it is not released
	changes []string
}

// A changelog begins with the newest release.
type changelog []release

var heading = regexp.MustCompile(`^## (\d+\.\d+\.\d+), (?:not released|(\d{4}-\d{2}-\d{2}))$`)

func parseChangelog(text string) (changelog, error) {
	var all changelog
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "):
			m := heading.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("CHANGELOG.md: %q: want ## VERSION, not released, or a date", line)
			}
			r := release{version: m[1]}
			if m[2] != "" {
				var err error
				if r.date, err = time.Parse(time.DateOnly, m[2]); err != nil {
					return nil, fmt.Errorf("CHANGELOG.md: %w", err)
				}
			} else if len(all) > 0 {
				return nil, fmt.Errorf("CHANGELOG.md: %s is not released, and a newer one is above it", m[1])
			}
			all = append(all, r)
		case len(all) == 0:
		case strings.HasPrefix(line, "- "):
			r := &all[len(all)-1]
			r.changes = append(r.changes, strings.TrimPrefix(line, "- "))
		case strings.HasPrefix(line, "  "):
			r := &all[len(all)-1]
			if len(r.changes) == 0 {
				return nil, fmt.Errorf("CHANGELOG.md: %q continues nothing", line)
			}
			r.changes[len(r.changes)-1] += " " + strings.TrimSpace(line)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("CHANGELOG.md: no release")
	}
	return all, nil
}

// debian returns the version of a package of the program. Before its release
// each commit has one of its own, which is older than the release.
func (c changelog) debian(own string, o options) (string, error) {
	newest := c[0]
	if newest.version != own {
		return "", fmt.Errorf("the program is version %s, the newest in CHANGELOG.md is %s", own, newest.version)
	}
	if !newest.date.IsZero() {
		return own, nil
	}
	version := own + "~" + o.epoch.Format("20060102150405")
	if o.revision != "" {
		version += "." + o.revision
	}
	if !regexp.MustCompile(`^[0-9A-Za-z.+~]+$`).MatchString(version) {
		return "", fmt.Errorf("revision %q: want letters and digits", o.revision)
	}
	return version, nil
}

// text returns the changelog as Debian's tools read it. The newest entry is of
// the package's own version and, when it is not released, of the source's time.
func (c changelog) text(version string, epoch time.Time) []byte {
	var b strings.Builder
	for i, r := range c {
		distribution, date := "stable", r.date
		if i > 0 {
			version = r.version
		} else if r.date.IsZero() {
			distribution, date = "UNRELEASED", epoch
		}
		fmt.Fprintf(&b, "ciglio (%s) %s; urgency=medium\n\n", version, distribution)
		for _, change := range r.changes {
			b.WriteString(wrap(change, "  * ", "    "))
		}
		fmt.Fprintf(&b, "\n -- %s  %s\n\n", maintainer, date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	}
	return []byte(b.String())
}

// maintainer is as in nfpm.yaml.
const maintainer = "Ciglio maintainers <maintainers@ciglio.example>"

// wrap breaks a text into lines of at most 80 bytes, as far as its words allow.
func wrap(text, first, next string) string {
	var b strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && len(line)+len(word) >= 80 {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = next
		}
		line += word + " "
	}
	return b.String() + strings.TrimRight(line, " ") + "\n"
}
