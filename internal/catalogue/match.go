package catalogue

import (
	"slices"
	"strconv"
	"strings"
)

// maxRanges bounds how much of an Accept-Language header is looked at.
const maxRanges = 32

// Match returns the texts for a reader: in the language chosen by name where there
// is one of that name, else in the one that an Accept-Language header (RFC 9110,
// section 12.5.4) likes best, else in the first. A range such as de-AT counts as
// de; what cannot be read counts as not said.
func (s *Set) Match(choice, accept string) Words {
	if w, ok := s.In(choice); ok {
		return w
	}
	best, liked := s.languages[0], 0.0
	for i, one := range strings.SplitN(accept, ",", maxRanges+1) {
		if i == maxRanges {
			break
		}
		tag, parameter, weighted := strings.Cut(one, ";")
		quality := 1.0
		if weighted {
			q, found := strings.CutPrefix(strings.TrimSpace(parameter), "q=")
			v, err := strconv.ParseFloat(q, 64)
			if !found || err != nil || !(v >= 0 && v <= 1) {
				continue
			}
			quality = v
		}
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if quality > liked && slices.Contains(s.languages, primary) {
			best, liked = primary, quality
		}
	}
	return Words{s, best}
}
