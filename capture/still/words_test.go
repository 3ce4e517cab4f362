package still

import (
	"strings"
	"testing"

	"ciglio/capture/evidence"
)

// TestChecksHaveWords says each outcome of a check in every language.
func TestChecksHaveWords(t *testing.T) {
	for _, s := range []evidence.Said{
		{Code: "still.attested", Args: evidence.Args{"frame": evidence.Hash{1}}}, {Code: "still.named"}, {Code: "still.bar"}, {Code: "still.remade"},
		{Code: "still.withheld"}, {Code: "still.wrong", Args: evidence.Args{"detail": evidence.Detail("x")}},
		{Code: "check." + CheckAttested}, {Code: "check." + CheckSource}, {Code: "check." + CheckDataBar}, {Code: "check." + CheckRemade},
	} {
		for _, l := range evidence.Languages() {
			if words := s.In(l); strings.HasPrefix(words, s.Code) {
				t.Errorf("%s has no words in %s", s.Code, l)
			}
		}
	}
}
