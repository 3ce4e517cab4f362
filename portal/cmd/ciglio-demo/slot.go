package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"ciglio/agent/stick"
	"ciglio/agent/stick/helper"
)

// A slot is where one stick can be plugged in: a folder that is there or not.
type slot struct {
	dir string

	mu    sync.Mutex
	in    bool
	times int // how often it was plugged in
}

var _ helper.Machine = (*slot)(nil)

// Disks implements [helper.Machine].
func (s *slot) Disks() ([]helper.Disk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.dir)
	if err != nil || !info.IsDir() {
		s.in = false
		return nil, nil
	}
	if !s.in {
		s.in, s.times = true, s.times+1
	}
	return []helper.Disk{{Device: s.dir, Times: strconv.Itoa(s.times)}}, nil
}

// Open implements [helper.Machine].
func (s *slot) Open(context.Context, helper.Disk) (helper.Stick, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, stick.ErrGone
	}
	return &folderStick{root}, nil
}

// Wait implements [helper.Machine].
func (s *slot) Wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

// A folderStick is a folder in the place of a file system on a stick.
type folderStick struct{ root *os.Root }

func (s *folderStick) Kind() string { return "folder" }
func (s *folderStick) Close() error { return s.root.Close() }

func (s *folderStick) List(context.Context) (list []stick.Entry, err error) {
	err = fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		list = append(list, stick.Entry{Name: filepath.ToSlash(name), Size: info.Size()})
		return nil
	})
	return list, err
}

func (s *folderStick) Read(_ context.Context, name string, limit int64) ([]byte, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = stick.ErrLimit
	}
	return content, err
}

func (s *folderStick) Put(_ context.Context, name string, content []byte) error {
	return s.root.WriteFile(name, content, 0o600)
}
