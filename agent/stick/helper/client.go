package helper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"ciglio/agent/stick"
)

// A Client is the service's side. Only one goroutine may use it. After an error
// that is no [*Error], or when ctx has ended during a call, only Close is left.
type Client struct {
	c net.Conn
	r *bufio.Reader
}

// Dial connects to the helper's socket at path.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return NewClient(c), nil
}

// NewClient speaks over a connection.
func NewClient(c net.Conn) *Client { return &Client{c, bufio.NewReader(c)} }

// Close ends the connection; the helper unmounts what is open.
func (c *Client) Close() error { return c.c.Close() }

func (c *Client) ask(ctx context.Context, r request, body []byte, most int64) (reply, []byte, error) {
	stop := context.AfterFunc(ctx, func() { c.c.Close() })
	defer stop()
	r.Size = int64(len(body))
	answer, content, err := c.exchange(r, body, most)
	if ctx.Err() != nil {
		return reply{}, nil, ctx.Err()
	}
	if err != nil {
		return reply{}, nil, fmt.Errorf("stick helper: %w", err)
	}
	return answer, content, answer.err()
}

func (c *Client) exchange(r request, body []byte, most int64) (answer reply, content []byte, err error) {
	if err := send(c.c, r, body); err != nil {
		return answer, nil, err
	}
	if err := receive(c.r, &answer); err != nil {
		return answer, nil, err
	}
	if answer.Size < 0 || answer.Size > most {
		return answer, nil, fmt.Errorf("it sends %d bytes, at most %d were asked for", answer.Size, most)
	}
	content = make([]byte, answer.Size)
	_, err = io.ReadFull(c.r, content)
	return answer, content, err
}

// Next waits for the next stick and opens it; name is "" when instead one that was
// used before has been pulled out. With a name and an [*Error] the stick could not
// be opened, and does not come again until it is plugged in anew.
func (c *Client) Next(ctx context.Context) (name, kind string, err error) {
	answer, _, err := c.ask(ctx, request{Do: "next"}, nil, 0)
	if e := new(Error); errors.As(err, &e) && answer.Stick == "" {
		return "", "", fmt.Errorf("stick helper: %v", err) // it is about no stick
	}
	return answer.Stick, answer.Kind, err
}

// List returns the files on the open stick, as [stick.Stick.List] does.
func (c *Client) List(ctx context.Context) ([]stick.Entry, error) {
	answer, _, err := c.ask(ctx, request{Do: "list"}, nil, 0)
	return answer.Entries, err
}

// Read returns the content of a file, as [stick.Stick.Read] does.
func (c *Client) Read(ctx context.Context, name string, limit int64) ([]byte, error) {
	_, content, err := c.ask(ctx, request{Do: "read", Name: name, Limit: limit}, nil, limit)
	return content, err
}

// Put writes a small file, as [stick.Stick.Put] does.
func (c *Client) Put(ctx context.Context, name string, content []byte) error {
	if len(content) > MaxPut {
		return &Error{fmt.Sprintf("%s: %d bytes, at most %d", name, len(content), MaxPut), stick.ErrLimit}
	}
	_, _, err := c.ask(ctx, request{Do: "put", Name: name}, content, 0)
	return err
}

// Release unmounts the open stick: it may be pulled out.
func (c *Client) Release(ctx context.Context) error {
	_, _, err := c.ask(ctx, request{Do: "close"}, nil, 0)
	return err
}
