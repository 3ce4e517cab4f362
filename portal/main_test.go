package portal_test

import (
	"os"
	"testing"

	"ciglio/portal"
	"ciglio/portal/portaltest"
)

// TestMain is the program ciglio-portal where a test has started it as that.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(portal.Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	portaltest.Main(m)
}
