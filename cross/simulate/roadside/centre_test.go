package roadside

import (
	"log/slog"
	"net"
	"testing"
)

func TestPagesTakeAnotherPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	centre, err := openCentre(t.Context(), t.TempDir(), Options{Listen: taken.Addr().String(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if centre.Addr() == taken.Addr().String() {
		t.Errorf("pages at %s, which is in use", centre.Addr())
	}
	if err := centre.Close(); err != nil {
		t.Error(err)
	}
}
