package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ciglio/capture/evidence"
)

// S3Options say where an S3 store is.
type S3Options struct {
	Endpoint string // "https://host:port", or http:// where nobody listens in
	Bucket   string
	Region   string // empty means us-east-1
	// Key and Secret; empty: those of the environment, or of the file that
	// AWS_SHARED_CREDENTIALS_FILE names.
	Key, Secret string
	// Temp is the folder of files that are read; empty for the system's.
	Temp string
}

// S3 is a [Store] in a bucket.
type S3 struct {
	client *minio.Client
	bucket string
	temp   string
}

var _ Store = (*S3)(nil)

// OpenS3 prepares the use of a bucket, which exists, and asks for it.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("blob store %q: not https://host or http://host:port", o.Endpoint)
	}
	keys := credentials.NewStaticV4(o.Key, o.Secret, "")
	if o.Key == "" {
		keys = credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}})
	}
	region := o.Region
	if region == "" {
		region = "us-east-1"
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: keys, Secure: u.Scheme == "https", Region: region, BucketLookup: minio.BucketLookupPath,
		TrailingHeaders: true, // the client wants it for every checksum
	})
	if err != nil {
		return nil, fmt.Errorf("blob store %s: %w", u.Host, err)
	}
	s := &S3{client: client, bucket: o.Bucket, temp: o.Temp}
	return s, s.Check(ctx)
}

// Check is that of [Store].
func (s *S3) Check(ctx context.Context) error {
	there, err := s.client.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = errors.New("there is no such bucket")
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", s.bucket, err)
	}
	return nil
}

// Put is that of [Store].
func (s *S3) Put(ctx context.Context, hash evidence.Hash, data []byte) error {
	if sha256.Sum256(data) != hash {
		return damaged(hash, nil)
	}
	return s.put(ctx, hash, uint64(len(data)), func() io.Reader { return bytes.NewReader(data) })
}

// PutFile is that of [Store].
func (s *S3) PutFile(ctx context.Context, path string, hash evidence.Hash, length uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	switch same, err := sum(f, hash, length); {
	case err != nil:
		return err
	case !same:
		return errors.Join(damaged(hash, nil), os.Remove(path))
	}
	if err := s.put(ctx, hash, length, func() io.Reader { return io.NewSectionReader(f, 0, int64(length)) }); err != nil {
		return err
	}
	return os.Remove(path)
}

// put stores what has been hashed. An object that is there stays when it is whole.
func (s *S3) put(ctx context.Context, hash evidence.Hash, length uint64, data func() io.Reader) error {
	checksum := base64.StdEncoding.EncodeToString(hash[:])
	for _, over := range []bool{false, true} {
		o := minio.PutObjectOptions{
			ContentType: "application/octet-stream", DisableMultipart: true,
			UserMetadata: map[string]string{"x-amz-checksum-sha256": checksum}, // which the store compares
		}
		if !over {
			o.SetMatchETagExcept("*")
		}
		info, err := s.client.PutObject(ctx, s.bucket, name(hash), data(), int64(length), o)
		if err != nil && (over || !isThere(err)) {
			return s.failed(hash, err)
		}
		if err == nil && info.ChecksumSHA256 == checksum {
			return nil
		}
		// It is there already, or this store does not compare.
		if whole, err := s.Confirm(ctx, hash, length); err != nil || whole {
			return err
		}
	}
	return fmt.Errorf("blob %s: it was stored twice, and is not what was sent", hash)
}

func isThere(err error) bool {
	status := minio.ToErrorResponse(err).StatusCode
	return status == http.StatusPreconditionFailed || status == http.StatusConflict
}

func isAbsent(err error) bool { return minio.ToErrorResponse(err).Code == minio.NoSuchKey }

func (s *S3) failed(hash evidence.Hash, err error) error {
	switch {
	case err == nil:
		return nil
	case isAbsent(err):
		return absent(hash)
	}
	return fmt.Errorf("blob %s: %w", hash, err)
}

// Stat is that of [Store].
func (s *S3) Stat(ctx context.Context, hash evidence.Hash) (uint64, error) {
	info, err := s.client.StatObject(ctx, s.bucket, name(hash), minio.StatObjectOptions{})
	return uint64(info.Size), s.failed(hash, err)
}

// read hands the bytes of a blob to w, the first length of them.
func (s *S3) read(ctx context.Context, hash evidence.Hash, length uint64, w io.Writer) error {
	object, err := s.client.GetObject(ctx, s.bucket, name(hash), minio.GetObjectOptions{})
	if err == nil {
		defer object.Close()
		var n int64
		if n, err = io.Copy(w, io.LimitReader(object, int64(length))); err == nil && uint64(n) < length {
			return damaged(hash, fmt.Errorf("%d bytes of %d", n, length))
		}
	}
	err = s.failed(hash, err)
	if errors.Is(err, ErrAbsent) {
		return damaged(hash, err)
	}
	return err
}

// Get is that of [Store].
func (s *S3) Get(ctx context.Context, hash evidence.Hash, length uint64) ([]byte, error) {
	data := bytes.NewBuffer(make([]byte, 0, length))
	if err := s.read(ctx, hash, length, data); err != nil {
		return nil, err
	}
	if sha256.Sum256(data.Bytes()) != hash {
		return nil, damaged(hash, nil)
	}
	return data.Bytes(), nil
}

// Range is that of [Store].
func (s *S3) Range(ctx context.Context, hash evidence.Hash, from, to uint64) ([]byte, error) {
	data := make([]byte, to-from)
	if len(data) == 0 {
		return data, nil
	}
	var o minio.GetObjectOptions
	if err := o.SetRange(int64(from), int64(to)-1); err != nil {
		return nil, err
	}
	object, err := s.client.GetObject(ctx, s.bucket, name(hash), o)
	if err != nil {
		return nil, s.failed(hash, err)
	}
	defer object.Close()
	_, err = io.ReadFull(object, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || minio.ToErrorResponse(err).Code == "InvalidRange" {
		return nil, damaged(hash, err)
	}
	return data, s.failed(hash, err)
}

// Map is that of [Store].
func (s *S3) Map(ctx context.Context, hash evidence.Hash, length uint64) (*Mapped, error) {
	f, err := os.CreateTemp(s.temp, "ciglio-blob-*")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	if err := s.read(ctx, hash, length, f); err != nil {
		return nil, err
	}
	return mapFile(f, hash, length)
}

// Confirm is that of [Store]: what the store answers with is durable.
func (s *S3) Confirm(ctx context.Context, hash evidence.Hash, length uint64) (bool, error) {
	switch have, err := s.Stat(ctx, hash); {
	case errors.Is(err, ErrAbsent):
		return false, nil
	case err != nil || have != length:
		return false, err
	}
	h := sha256.New()
	err := s.read(ctx, hash, length, h)
	if errors.Is(err, ErrDamaged) {
		return false, nil
	}
	return err == nil && evidence.Hash(h.Sum(nil)) == hash, err
}

// Each is that of [Store]. Objects of other names are none of this store.
func (s *S3) Each(ctx context.Context, yield func(evidence.Hash, uint64) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // which ends the list
	var last string
	for object := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("bucket %s: %w", s.bucket, object.Err)
		}
		if object.Key <= last {
			return fmt.Errorf("bucket %s: %q is listed behind %q: the store does not list in order", s.bucket, object.Key, last)
		}
		last = object.Key
		hash, err := evidence.ParseHash(strings.Replace(object.Key, "/", "", 1))
		if err != nil || name(hash) != object.Key {
			continue
		}
		if err := yield(hash, uint64(object.Size)); err != nil {
			return err
		}
	}
	return ctx.Err()
}
