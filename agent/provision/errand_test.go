package provision

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ciglio/capture/evidence"
	"ciglio/uplink/wire"
)

// orderOf is an order to a device, signed by an officer whom the device would have to
// know: the station does not look at that.
func orderOf(t *testing.T, device evidence.DeviceID, number uint64) []byte {
	t.Helper()
	b, err := wire.SealOrder(&wire.Order{
		Device: device, Number: number, Kind: wire.OrderReopen, NotBefore: now, NotAfter: now.Add(time.Hour), Reason: "door serviced",
	}, newSigner(t, "officer"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOrdersOfAStick(t *testing.T) {
	mine1, mine2 := orderOf(t, mine, 1), orderOf(t, mine, 2)
	done := evidence.Act{Outcome: "done", New: "seal door released"}
	large := make([]byte, wire.MaxOrder+1)
	var many = map[string][]byte{}
	for i := range maxFiles + 1 {
		many[fmt.Sprintf("orders/%d.order", i)] = mine1
	}
	for _, row := range []struct {
		name   string
		files  map[string][]byte
		act    evidence.Act
		err    error
		light  Signal
		out    string
		orders []string // outcomes, in order
		asked  int
	}{
		{"one", map[string][]byte{"orders/1.order": mine1}, done, nil, Good, outcomeOrders, []string{"done"}, 1},
		{"in a folder of ours, in capitals", map[string][]byte{"CIGLIO/ORDERS/1.ORDER": mine1}, done, nil, Good, outcomeOrders, []string{"done"}, 1},
		{"by the order of their names", map[string][]byte{"orders/b.order": mine2, "orders/a.order": mine1}, done, nil, Good, outcomeOrders, []string{"done", "done"}, 2},
		{"executed before", map[string][]byte{"orders/1.order": mine1}, evidence.Act{}, nil, Good, outcomeOrders, []string{orderBefore}, 1},
		{"for another device: the device is not asked", map[string][]byte{"orders/1.order": orderOf(t, evidence.DeviceID{9}, 1)}, done, nil, Good, outcomeOrders, []string{orderPassed}, 0},
		{"no order: the device says so, and records it", map[string][]byte{"orders/1.order": []byte("x")}, done, errors.New("order refused: malformed"), Bad, outcomeUndone, []string{"refused"}, 1},
		{"failed", map[string][]byte{"orders/1.order": mine1}, evidence.Act{Outcome: "failed", New: "open still"}, nil, Bad, outcomeUndone, []string{"failed"}, 1},
		{"in the root folder, or of another name: none", map[string][]byte{"1.order": mine1, "orders/1.txt": mine1, "orders/.1.order": mine1, "orders/old/1.order": mine1}, done, nil, Bad, outcomeNothing, nil, 0},
		{"too large: nothing is executed", map[string][]byte{"orders/1.order": mine1, "orders/2.order": large}, done, nil, Bad, outcomeRefused, nil, 0},
		{"too many", many, done, nil, Bad, outcomeRefused, nil, 0},
		{"beside a bundle that is refused", map[string][]byte{"orders/1.order": mine1, "a.ciglio": []byte("x")}, done, nil, Bad, outcomeRefused, nil, 0},
		{"beside a bundle that is installed", map[string][]byte{"orders/1.order": mine1, "a.ciglio": trustBundle(t, 1)}, done, nil, Good, outcomeInstalled, []string{"done"}, 1},
		{"refused beside a bundle that is installed", map[string][]byte{"orders/1.order": mine1, "a.ciglio": trustBundle(t, 1)}, done, errors.New("order refused: role"), Bad, outcomeUndone, []string{"refused"}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			var asked [][]byte
			st := newStandWith(t, open(t, t.TempDir()), func(o *StationOptions) {
				o.Order = func(b []byte, put Put) (evidence.Act, error) {
					asked = append(asked, b)
					return row.act, errors.Join(row.err, put(fmt.Sprintf("given%d", len(asked)), b))
				}
				o.Leave = func() []Named { return []Named{{"journal.txt", []byte("who did what")}} }
			})
			s := &fakeStick{files: row.files}
			light := st.use(t, s)
			r := s.receipt(t)
			var outcomes []string
			for _, o := range r.Orders {
				outcomes = append(outcomes, o.Outcome)
			}
			if light != row.light || r.Outcome != row.out || !slices.Equal(outcomes, row.orders) || len(asked) != row.asked {
				t.Errorf("light %d, asked %d, %+v", light, len(asked), r)
			}
			if row.asked == 2 && (string(asked[0]) != string(mine1) || string(asked[1]) != string(mine2)) {
				t.Error("not in the order of their names")
			}
			for i := range asked {
				if s.wrote[fmt.Sprintf("given%d", i+1)] == nil {
					t.Error("what the order gives out is not on the stick")
				}
			}
			if string(s.wrote["journal.txt"]) != "who did what" {
				t.Error("the stick takes nothing away")
			}
			for name, text := range s.wrote {
				if strings.HasPrefix(name, "receipt") && strings.HasSuffix(name, ".txt") && len(row.orders) > 0 && !strings.Contains(string(text), r.Orders[0].String()) {
					t.Errorf("receipt without the order: %s", text)
				}
			}
		})
	}
}
