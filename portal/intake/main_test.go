package intake_test

import (
	"testing"

	"ciglio/portal/portaltest"
)

func TestMain(m *testing.M) { portaltest.Main(m) }
