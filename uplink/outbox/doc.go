// Package outbox keeps sealed records, with their frames and traces, on flash
// until the centre has answered each of them with a receipt, and for a time
// after.
//
// A record is on flash, whole, when [Outbox.Append] returns; a record settles
// only through [Outbox.Settle]; an unsettled record never leaves the store,
// however full it is. Record numbers come from the store, without gaps, and no
// number of an epoch is ever given to two different records that anyone outside
// Append has seen.
//
// The caller seals the record inside Append, with the [Head] it is given, and
// verifies a receipt's signature before Settle. It calls [Outbox.Expire] now and
// then, and when [Outbox.Room] says that there is none. It looks at
// [Outbox.Report] after Open: a new epoch may have begun, in which the centre
// accepts nothing before the device register names it.
//
// An Outbox is safe for concurrent use. Blobs are hashed and cut outside of any
// lock, so that one caller can do it while another writes.
//
// # The folder
//
//	lock            held by flock(2) while the store is open for writing
//	segments/NNNNNNNN.db   bbolt; records and blobs; numbers from 1, in order
//	state.db        bbolt; what became of the records
//	mark            one line: newest segment, epoch, a number the next record is at least
//	tip             the same line after each record, in place and without a sync
//	ledger          which numbers each segment has taken, a line each; state.db has a copy
//	acknowledged    which losses somebody knows of, who, and why they may stand
//	clean           empty; there only while the store is closed in good order
//	damaged/        what could not be used, each with a .txt that says why; never deleted
//
// A segment takes records until it is full (256 MiB of map) or the UTC day is
// another one than it began on, forwards or backwards. Each holds one run of
// numbers of one epoch. The chain's head is the last record of the last segment.
// At most two segments are open, and mapped: the newest, and an older one that is
// being read. Files named .new are unfinished; they have never held anything.
//
// # A segment
//
// Numbers are big-endian; CRC is CRC-32C of all bytes before it in the value.
// Pages are 4096 bytes, the free list is synced, and so is each transaction.
//
//	bucket segment
//	  about    1 version = 1, 7 zero, 16 device, 8 number of the segment, 8 epoch,
//	           8 first record's number, 32 link that record carries,
//	           8 begun (µs UTC), 4 CRC
//	bucket records
//	  8 number 1 version = 1, 1 kind, 2 number of blobs n, 4 length of the record,
//	           32 record id, 32 link for the next record, 8 UTC (µs),
//	           n × (32 SHA-256, 4 length), the sealed record, 4 CRC
//	bucket blobs
//	  bucket 8 number, for a record that has blobs
//	    2 blob, 2 chunk    the chunk message of package wire, at most 61,440 bytes
//
// A bucket for each record, rather than one flat bucket, keeps bbolt from
// copying the last chunks of a record with the next: 1.06 bytes are written for
// each byte of a violation instead of 1.19. The entry of heartbeat 258 of epoch
// 1, of 478 bytes, is found under 00 00 00 00 00 00 01 02 and begins
//
//	01 02 00 00 00 00 01 DE ...
//
// # state.db
//
//	bucket state
//	  about    1 version = 1, 7 zero, 16 device
//	  ack      32 hash of the newest receipt
//	  mark     the line of the file mark, when the newest segment began
//	  ledger   the text of the file ledger
//	bucket receipts
//	  8 n      the sealed receipt, each once
//	bucket references
//	  8 n      8 how many records were settled by it and are in the store
//	bucket settled
//	  bucket 8 number of a segment
//	    8 number of a record    8 n
//	bucket aside
//	  8 epoch, 8 number    the reason
//	bucket expired
//	  8 number of a segment that was dropped in good order
//
// It can be lost: all records count as unsettled again, are sent again, and the
// centre, which has them, answers again.
//
// # What is durable when
//
// Append is one transaction of the newest segment: pages, sync, meta page, sync.
// Settle is one of state.db. A new segment is made under another name, synced,
// renamed, its folder synced; then mark, ledger and state.db are told, then the
// first record goes in. A segment is dropped from state.db first, then from the
// ledger, then as a file, then its folder is synced. So a cut between any two
// steps leaves either the state before or the one after, or a file that the next
// Open removes.
//
// When the very last sync of Append fails, the record is on its way and cannot
// be called back. Append then commits once more to make certain of it, and
// returns [ErrUncertain] if that fails too: see there.
//
// # Recovery
//
// bbolt trusts its file: on a damaged one it may run out of stack, loop, or
// fault in a goroutine of its own, which ends the process. So this package has a
// reader of its own for bbolt's pages, which uses positioned reads and checks
// every number. With it Open looks at each segment's description, first and last
// record, and walks the whole structure of state.db and of the newest segment,
// and, when clean is missing, of every segment with unsettled records, which
// bbolt's Check then goes over as well. An older segment is walked before it is
// first mapped. What fails is moved to damaged/; the rest stays in use. Behind
// that, whatever bbolt does with a mapping runs under recover with
// debug.SetPanicOnFault.
//
// bbolt has no checksums of data: each entry, chunk and blob is checked when it
// is read, and each record hashed. One that fails is quarantined: it stays
// unsettled, is not offered again by this process, and keeps its segment.
//
// The head of the chain is not trusted when a later segment has been there (by
// its file in damaged/, by mark or by state.db), when the newest has lost a meta
// page, which makes bbolt fall back by one record, or its last entry, when mark
// or the settled numbers are ahead of it, or when a receipt names a record that
// has not been made. Then the store goes over to a new epoch, at number 1, and
// the report says why. Nothing can be told when everything goes back at once, as
// with a copied card, or when the disk has lied about a sync and nothing later
// survived: then the centre sees two records under one place.
//
// # What is missing
//
// The ledger has a line for each segment that was begun and not dropped in good
// order,
//
//	segment 2 epoch 1 first 3 next 5
//
// with "least" for "next" while it takes records. Recovery compares it with the
// segments that can be used. [Report] names each run of numbers that was taken
// and is not there, at this start and at every later one, until the file is back.
// Where the newest segment is lost its end is known from tip, mark and the settled
// numbers, and told as a lower bound. Where a meta page is lost, the record after
// the last one is looked for in the bytes of the file: its number is named, and
// the file is never dropped. Without a ledger, as in a store of an earlier
// release, the gaps between the segments tell. Without state.db as well, nobody
// knows what was dropped in good order, and all numbers before the first that is
// there are named.
//
// A receipt may come for a number that is missing: it was on its way when the record
// was lost. It is stored like any other, under the number of the lost segment, and
// the loss is told with one settled number more.
//
// The file acknowledged is text: a head, a line of JSON for each [Acknowledgement],
// and a CRC-32C. It says nothing of the records. One of missing numbers covers what is
// left of them, and no number more; any other covers a loss of the same words. Whoever
// writes it has the folder locked by flock(2), which the store itself does for this
// file alone; what it says enters the chain at the next start.
//
// # Reading from another process
//
// A [View] reads the files page by page without any lock, while the service
// writes, and checks by the transaction's number that nothing has moved under
// it. Opening the store for writing is refused with [ErrLocked] meanwhile.
package outbox
