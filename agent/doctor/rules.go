package doctor

import "slices"

// This file is what the doctor knows of kernels and file systems, as tables. Each
// row is a fact about the world with its source, and no program: one more is one
// more row. docs/boards.md tells how they were found.

// A kernelFault is a range of kernels that are known to lose or corrupt what was
// written.
type kernelFault struct {
	from, fixed release // from ≤ kernel < fixed
	only        string  // part of the release's name, where one distributor's kernels have it; "" for all
	verdict     Verdict
	what        string
	source      string
}

// kernelFaults are those that could be sourced. Kernels of before 5.10 are not
// listed for more than the one fault: the doctor objects to their age as it is.
func kernelFaults() []kernelFault {
	return []kernelFault{
		{release{4, 19, 0}, release{4, 19, 8}, "", Fail,
			"the block layer could write a part of a request that had grown (blk-mq, seen as ext4 corruption)",
			// "blk-mq: fix corruption with direct issue", Fixes: 6ce3dd6eec1; with
			// c616cbee97ae "punt failed direct issue to dispatch list". LWN 774440.
			"commit ffe81d45322c, bugzilla.kernel.org 201685"},
		{release{6, 1, 64}, release{6, 1, 66}, "", Fail,
			"ext4 wrote to wrong places of a file with O_DIRECT and O_SYNC",
			// Stable took 91562895f803 without its prerequisite 936e114a245b of
			// 6.5-rc1; 6.1.66 took it back. Jan Kara's analysis in LWN 954285;
			// found in Debian's 6.1.64-1, fixed in 6.1.66-1.
			"commit 91562895f803, Debian bug 1057843"},
		{release{6, 6, 22}, release{6, 6, 51}, "rpi", Warn,
			"Raspberry Pi's kernel could queue commands to class A2 cards, some of which then read wrong or failed",
			// Added by raspberrypi/linux pull request 6046 in March 2024, off by
			// default since 6.6.51-1+rpt3, and only for cards known to be good
			// since pull request 6591 of January 2025.
			"github.com/raspberrypi/linux issue 6349"},
	}
}

// gpioV2 is the first kernel with version 2 of the GPIO character device.
var gpioV2 = release{5, 10, 0}

// fastCommitFaults are the kernels on which ext4's fast commits lose data after a
// power cut: databases of the kind that the outbox uses were found damaged,
// go.etcd.io/bbolt issue 562. The fixes are in 5.15.27 and 5.17; 5.10.94 has one
// of the two.
func fastCommitFaults() []kernelFault {
	return []kernelFault{
		{from: release{0, 0, 0}, fixed: release{5, 15, 27}},
		{from: release{5, 16, 0}, fixed: release{5, 17, 0}},
	}
}

// A fsRule is what the doctor thinks of some file systems.
type fsRule struct {
	types   []string // as in /proc/self/mountinfo
	verdict Verdict
	what    string
}

// fsRules are about file systems other than ext4, the one that power cuts are
// tested on. An overlay is what lies under it.
func fsRules() []fsRule {
	return []fsRule{
		{[]string{"tmpfs", "ramfs", "rootfs", "squashfs"}, Fail, "what is written is gone with the power"},
		{[]string{"vfat", "exfat", "msdos", "ntfs3", "fuseblk", "ext2"}, Fail, "no journal, a power cut damages it"},
		{[]string{"nfs", "nfs4", "cifs", "smb3", "9p"}, Fail, "not on this machine, gone with the network"},
	}
}

// ruleOf returns the rule of a file system.
func ruleOf(fstype string) fsRule {
	for _, r := range fsRules() {
		if slices.Contains(r.types, fstype) {
			return r
		}
	}
	return fsRule{verdict: Warn, what: "not the file system that the project tests power cuts on"}
}

// An optionRule is about options of ext4: any of some that are there, or all of
// some that are not.
type optionRule struct {
	any     []string // one of these is in force,
	none    []string // or none of these is
	verdict Verdict
	what    string
	hint    string
}

func optionRules() []optionRule {
	return []optionRule{
		{[]string{"nobarrier", "barrier=0"}, nil, Fail, "nobarrier: a flush does not reach the disk", "take nobarrier and barrier=0 out of /etc/fstab"},
		{[]string{"data=writeback"}, nil, Warn, "data=writeback: after a power cut a file may hold old bytes of others", "take data=writeback out of /etc/fstab"},
		{[]string{"journal_async_commit"}, nil, Warn, "journal_async_commit: a commit may be on the disk before what it names", "take it out of /etc/fstab"},
		{[]string{"errors=continue"}, nil, Warn, "errors=continue: goes on writing on a damaged file system", "errors=remount-ro in /etc/fstab"},
		{[]string{"sync"}, nil, Warn, "sync: wears the card with every byte of every program", "take sync out of /etc/fstab; what must be durable is flushed anyway"},
		{nil, []string{"noatime", "relatime"}, Warn, "every reading is written down (strictatime)", "noatime in /etc/fstab"},
	}
}

// holds reports whether the rule is about these options.
func (r optionRule) holds(options []string) bool {
	in := func(o string) bool { return slices.Contains(options, o) }
	return slices.ContainsFunc(r.any, in) || len(r.none) > 0 && !slices.ContainsFunc(r.none, in)
}
