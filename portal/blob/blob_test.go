package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/minio-go/v7"

	"ciglio/capture/evidence"
	"ciglio/portal/blob"
	"ciglio/portal/blob/blobtest"
)

func TestMain(m *testing.M) { blobtest.Main(m) }

func open(t *testing.T, dir string) blob.Folder {
	t.Helper()
	f, err := blob.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func path(dir string, hash evidence.Hash) string {
	return filepath.Join(dir, hash.String()[:2], hash.String()[2:])
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	open(t, dir)
	blobtest.Test(t, open(t, dir), func(t *testing.T, h evidence.Hash, data []byte) {
		if err := os.WriteFile(path(dir, h), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, h evidence.Hash) {
		if err := os.Remove(path(dir, h)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestS3(t *testing.T) {
	o := blobtest.Bucket(t)
	s, err := blob.OpenS3(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	client := blobtest.Client(t, o)
	name := func(h evidence.Hash) string { return h.String()[:2] + "/" + h.String()[2:] }
	blobtest.Test(t, s, func(t *testing.T, h evidence.Hash, data []byte) {
		if _, err := client.PutObject(context.Background(), o.Bucket, name(h), bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, h evidence.Hash) {
		if err := client.RemoveObject(context.Background(), o.Bucket, name(h), minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	})
	left, err := os.ReadDir(o.Temp)
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
}

func TestS3OptionsThatCannotBe(t *testing.T) {
	for _, endpoint := range []string{"", "host", "ftp://host", "https://", "https://key:secret@host", "https://host/bucket", "https://host?x=1"} {
		if _, err := blob.OpenS3(t.Context(), blob.S3Options{Endpoint: endpoint, Bucket: "b", Key: "k", Secret: "s"}); err == nil {
			t.Errorf("%q was taken", endpoint)
		}
	}
	o := blobtest.Bucket(t)
	for name, o := range map[string]blob.S3Options{
		"another bucket": {Endpoint: o.Endpoint, Bucket: o.Bucket + "x", Key: o.Key, Secret: o.Secret},
		"another secret": {Endpoint: o.Endpoint, Bucket: o.Bucket, Key: o.Key, Secret: "wrong"},
	} {
		if _, err := blob.OpenS3(t.Context(), o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// A blob whose name may not outlive a power cut is not taken for stored.
func TestNameThatIsNotDurableIsNotConfirmed(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every folder")
	}
	dir := filepath.Join(t.TempDir(), "blobs")
	f := open(t, dir)
	data := []byte("a picture")
	hash := evidence.Hash(sha256.Sum256(data))
	folder := filepath.Dir(path(dir, hash))
	if err := os.Chmod(folder, 0o300); err != nil { // a name can be made in it, and not synced
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(folder, 0o700) })
	if err := f.Put(t.Context(), hash, data); err == nil {
		t.Fatal("stored in a folder that cannot be synced")
	}
	if ok, err := f.Confirm(t.Context(), hash, uint64(len(data))); ok || err == nil {
		t.Errorf("%v, %v: a name that was never synced is taken for durable", ok, err)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if ok, err := f.Confirm(t.Context(), hash, uint64(len(data))); !ok || err != nil {
		t.Errorf("%v, %v: a whole blob is not taken up", ok, err)
	}
}

// After a sync has failed the next one may succeed without what was lost.
func TestFileThatCannotBeSyncedIsGone(t *testing.T) {
	dir := t.TempDir()
	f := open(t, filepath.Join(dir, "blobs"))
	data := make([]byte, 100)
	p := filepath.Join(dir, "partial")
	if err := os.Symlink("/dev/zero", p); err != nil { // has the bytes, and no sync
		t.Fatal(err)
	}
	if err := f.PutFile(t.Context(), p, sha256.Sum256(data), 100); err == nil || errors.Is(err, blob.ErrDamaged) {
		t.Fatalf("%v, want an error of the sync", err)
	}
	if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
		t.Error("what could not be synced is kept")
	}
}
