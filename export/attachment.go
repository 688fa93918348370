package export

import (
	"context"
	"net/url"
)

// OpenAttachment opens the content that an Attachment.url points at (P34). token is
// the manifest's requiresAccessToken; a relative URL (Binary/x) is the FHIR server's
// own and gets the token anyway. mediaType is the Attachment's contentType, "" when
// it is unknown: a server that has the content as a Binary then sends it as such,
// or as a FHIR resource, which Body.MediaType shows.
//
// The body starts at 0; its Encoding is the header's alone. Errors are those of Open; none of
// them is a reason to drop the resource (F45).
func (c *Client) OpenAttachment(ctx context.Context, ref string, token bool, mediaType string) (*Body, error) {
	base := *c.Base
	base.Path, base.RawPath = c.at("").Path, "" // with the slash that relative URLs need
	u, _, err := c.policy().Resolve(&base, ref)
	if err != nil {
		return nil, &ProtocolError{Op: "open attachment", Reason: err.Error(), err: err}
	}
	accept := "*/*"
	if mediaType = printable(mediaType, 200); mediaType != "" {
		accept = mediaType + ", */*;q=0.1"
	}
	o := opening{c: c, f: File{Token: token || relative(ref)}, url: u, accept: accept, any: true}
	return o.open(ctx, 0, "")
}

func relative(ref string) bool {
	u, err := url.Parse(ref)
	return err == nil && u.Scheme == "" && u.Host == ""
}
