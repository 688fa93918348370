package export

import (
	"context"
	"errors"
	"net/http"
)

var errUnfinished = errors.New("export: not there yet")

// KickOff asks the server for an export.
func (c *Client) KickOff(ctx context.Context, r Request) (*Kickoff, error) { return nil, errUnfinished }

// Poll waits until the export is done and returns its manifest.
func (c *Client) Poll(ctx context.Context, statusURL string, observe func(Progress)) (*Manifest, error) {
	return nil, errUnfinished
}

// Status asks once: the manifest is nil while the export runs.
func (c *Client) Status(ctx context.Context, statusURL string) (*Manifest, Progress, error) {
	return nil, Progress{}, errUnfinished
}

// Refresh fetches the manifest of a finished export again (P35).
func (c *Client) Refresh(ctx context.Context, statusURL string) (*Manifest, error) {
	return nil, errUnfinished
}

// Open opens a file from offset on.
func (c *Client) Open(ctx context.Context, f File, offset int64, validator string) (*Body, error) {
	return nil, errUnfinished
}

// Delete removes an export at the server (P27).
func (c *Client) Delete(ctx context.Context, statusURL string) error { return errUnfinished }

// Capability reads what the server says of itself.
func (c *Client) Capability(ctx context.Context) (*Capability, error) { return nil, errUnfinished }

// OneShot returns a copy of t for Client.Fresh.
func OneShot(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.DisableKeepAlives = true
	return t
}
