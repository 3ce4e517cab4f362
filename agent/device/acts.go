package device

import "ciglio/agent/journal"

// Journal returns the newest entries of the store's epoch that a filter wants, as
// [journal.Newest] does; before 0 means from the newest on.
func (d *Device) Journal(f journal.Filter, before uint64, most int) (all []journal.Entry, next uint64, err error) {
	head := d.o.Outbox.Head()
	if before == 0 || before > head.Next {
		before = head.Next
	}
	return journal.Newest(d.o.Outbox, f, head.Epoch, before, most)
}
