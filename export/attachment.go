package export

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// AttachmentError is an attachment that could not be opened: no reason to drop its
// resource (F45).
type AttachmentError struct {
	// Code says why: "url" (it is refused), "unauthorized", "forbidden", "not-found",
	// "gone", "refused" (another 4xx), "throttled", "server-error", "network" or
	// "protocol".
	Code string
	// Passing says that the same request may be answered later.
	Passing bool
	Err     error
}

func (e *AttachmentError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *AttachmentError) Unwrap() error { return e.Err }

// OpenAttachment opens the content that an Attachment.url points at (P34). token is
// the manifest's requiresAccessToken; a URL below the FHIR server's base, relative
// (Binary/x) or absolute, is the server's own and gets the token anyway. mediaType
// is the Attachment's contentType, "" when it is unknown: a server that has the
// content as a Binary then sends it as such, or as a FHIR resource, which
// Body.MediaType shows.
//
// The body starts at 0; its Encoding is the header's alone. Opening is repeated
// within bounds, but for a 404. Errors are *AttachmentError, or the context's.
func (c *Client) OpenAttachment(ctx context.Context, ref string, token bool, mediaType string) (*Body, error) {
	u, err := c.attachmentURL(ref)
	if err != nil {
		return nil, &AttachmentError{Code: "url", Err: &ProtocolError{Op: "open attachment", Reason: err.Error(), err: err}}
	}
	accept := "*/*"
	if mediaType = printable(mediaType, 200); mediaType != "" {
		accept = mediaType + ", */*;q=0.1"
	}
	o := opening{c: c, f: File{Token: token || c.owns(u)}, url: u, accept: accept, any: true}
	b, err := o.open(ctx, 0, "")
	if err != nil && ctx.Err() == nil {
		err = attachmentError(err)
	}
	return b, err
}

// AttachmentOrigin is scheme, host and port of where an attachment lies, and
// whether that is the FHIR server's; "" when the URL is one that is not followed.
func (c *Client) AttachmentOrigin(ref string) (origin string, own bool) {
	u, err := c.attachmentURL(ref)
	if err != nil {
		return "", false
	}
	return strings.ToLower(u.Scheme + "://" + u.Host), fhirhttp.SameOrigin(c.Base, u)
}

func (c *Client) attachmentURL(ref string) (*url.URL, error) {
	if strings.HasPrefix(strings.TrimSpace(ref), "#") {
		return nil, &fhirhttp.PolicyError{Reason: "it leads nowhere but into the resource"}
	}
	base := *c.Base
	base.Path, base.RawPath = c.at("").Path, "" // with the slash that relative URLs need
	u, _, err := c.policy().Resolve(&base, ref)
	return u, err
}

// owns reports whether a URL is below the service base.
func (c *Client) owns(u *url.URL) bool {
	return fhirhttp.SameOrigin(c.Base, u) && strings.HasPrefix(u.Path, c.at("").Path)
}

func attachmentError(err error) error {
	e := &AttachmentError{Code: "network", Passing: true, Err: err}
	var (
		expired  *ExpiredError
		status   *fhirhttp.StatusError
		protocol *ProtocolError
		policy   *fhirhttp.PolicyError
		classy   interface{ Class() string }
	)
	switch {
	case errors.As(err, &expired):
		e.Code, e.Passing = attachmentCode(expired.Status), expired.Status == http.StatusUnauthorized
	case errors.As(err, &status):
		e.Code, e.Passing = attachmentCode(status.Status), status.Temporary()
	case errors.As(err, &policy): // of a redirect
		e.Code, e.Passing = "url", false
	case errors.As(err, &protocol):
		e.Code, e.Passing = "protocol", false
	case errors.As(err, &classy) && classy.Class() == "auth": // of the token's transport
		e.Code = "unauthorized"
	}
	return e
}

func attachmentCode(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "unauthorized"
	case status == http.StatusForbidden:
		return "forbidden"
	case status == http.StatusNotFound:
		return "not-found"
	case status == http.StatusGone:
		return "gone"
	case status == http.StatusTooManyRequests:
		return "throttled"
	case status >= http.StatusInternalServerError:
		return "server-error"
	}
	return "refused"
}
