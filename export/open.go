package export

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// Open opens a file, from offset on where it can. validator is the Validator of
// the Body that the first offset bytes came from, "" when there was none.
//
// The bytes come as the server sends them, not decompressed. Where the server
// can resume and the file is still the same one, in the same coding, the body
// starts at offset; otherwise it starts at 0, whatever was asked for. Opening is
// repeated within bounds (P32 to P35, F42, F43); reading is not: a body that
// breaks off fails with an error, and its reader opens the file again.
//
// Errors: *ExpiredError when a fresh link may help, *ProtocolError when the answer
// is no file, and the server's and the transport's own, of which those without a
// Class may pass.
func (c *Client) Open(ctx context.Context, f File, offset int64, validator string) (*Body, error) {
	if offset < 0 {
		offset = 0
	}
	u, _, err := c.policy().Resolve(nil, f.URL)
	if err != nil {
		return nil, &ProtocolError{Op: "open file", Reason: err.Error(), err: err}
	}
	o := opening{c: c, f: f, url: u, accept: "application/fhir+ndjson"}
	b, err := o.open(ctx, offset, validator)
	if err == errStartOver {
		b, err = o.open(ctx, 0, "")
	}
	return b, err
}

// errStartOver is an answer to a range request that is no use.
var errStartOver = errors.New("open file: the server cannot go on where the last answer broke off")

type opening struct {
	c      *Client
	f      File
	url    *url.URL
	accept string
	any    bool // any kind of content, not only NDJSON
}

func (o *opening) open(ctx context.Context, offset int64, validator string) (*Body, error) {
	v := parseValidator(validator)
	if v.strong == "" {
		offset = 0
	}
	h := http.Header{"Accept-Encoding": {"gzip"}}
	if o.any {
		h.Set("Accept-Encoding", "identity")
	}
	if offset > 0 {
		h.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
		h.Set("If-Range", v.strong)
	}
	notFound := 2 // F43
	if o.any {
		notFound = 0 // an attachment that is missing stays so
	}
	hc := o.c.HTTP
	if !o.f.Token { // P32: never
		if hc = o.c.Bare; hc == nil {
			hc = &http.Client{}
		}
	}
	var b *Body
	err := o.c.requests(hc).Do(ctx, fhirhttp.Call{
		Op: "open file", URL: o.url, Accept: o.accept, Header: h, NotFound: notFound, Keep: true,
		OK: func(status int) bool {
			return status == http.StatusOK || offset > 0 &&
				(status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable)
		},
		Handle: func(resp *http.Response) (err error) {
			switch resp.StatusCode {
			case http.StatusPartialContent:
				b, err = resumed(resp, offset, v)
			case http.StatusRequestedRangeNotSatisfiable:
				b, err = atEnd(resp, offset, v)
			default:
				b, err = o.whole(resp)
			}
			return err
		},
	})
	var se *fhirhttp.StatusError
	if errors.As(err, &se) && o.expired(se.Status) {
		return nil, &ExpiredError{Status: se.Status, Token: o.f.Token, Issues: se.Issues}
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// expired tells the statuses by which servers say that a link has expired. File
// stores answer 400 and 401, too, when a signature in the URL is too old.
func (o *opening) expired(status int) bool {
	switch status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	case http.StatusUnauthorized:
		return true
	case http.StatusBadRequest:
		return !o.f.Token
	}
	return false
}

// whole reads a 200: the file from its first byte.
func (o *opening) whole(resp *http.Response) (*Body, error) {
	br := bufio.NewReader(resp.Body) // small: long reads pass it by
	head, err := peek(br)
	if err != nil {
		return nil, err
	}
	encoding, err := encodingOf(resp.Header, head)
	if err != nil {
		return nil, err
	}
	if o.any {
		encoding = headerCoding(resp.Header) // content that is gzip itself stays what it is
	} else if markup(head, encoding) {
		return nil, &fhirhttp.TransportError{Op: "open file", Text: "the answer is HTML or XML, not NDJSON", Err: fhirhttp.Page{}} // F35
	}
	b := &Body{
		ReadCloser: buffered{br, resp.Body}, Encoding: encoding,
		Length: resp.ContentLength, MediaType: mediaType(resp.Header), Validator: validatorOf(resp.Header, encoding, resp.ContentLength).String(),
	}
	b.Endless = resp.ContentLength < 0 && resp.ProtoMajor == 1 && len(resp.TransferEncoding) == 0 && !resp.Uncompressed
	if resp.Uncompressed { // a transport took the compression off: no length, no range of it
		b.Encoding, b.Length, b.Validator = "", -1, ""
	}
	return b, nil
}

// mediaType is the Content-Type without parameters.
func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return printable(strings.ToLower(strings.TrimSpace(t)), 128)
}

// peek waits for the first bytes of a body, without waiting for more than a
// server has ready.
func peek(br *bufio.Reader) ([]byte, error) {
	if _, err := br.Peek(2); err != nil && err != io.EOF {
		return nil, err
	}
	return br.Peek(br.Buffered())
}

// encodingOf finds a body's coding: by its first bytes, whatever the header says
// (F36).
func encodingOf(h http.Header, head []byte) (string, error) {
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		return "gzip", nil
	}
	switch e := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding"))); e {
	case "", "identity", "gzip", "x-gzip":
		return "", nil
	default:
		return "", &ProtocolError{Op: "open file", Reason: "the answer has a content encoding that was not asked for"}
	}
}

// markup reports whether the content begins like HTML or XML.
func markup(head []byte, encoding string) bool {
	if encoding == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(head))
		if err != nil {
			return false // cut within its header, or broken: its reader says so
		}
		plain := make([]byte, 512)
		n, _ := io.ReadFull(zr, plain)
		head = plain[:n]
	}
	return fhirhttp.HTML(head)
}

// resumed reads a 206. Whatever does not fit what was asked for is refused: bytes
// of another place, another coding or another version would mix two files.
func resumed(resp *http.Response, offset int64, v validator) (*Body, error) {
	start, end, total, ok := contentRange(resp.Header.Get("Content-Range"))
	length := resp.ContentLength
	switch {
	case !ok, start != offset, total >= 0 && end >= total,
		length >= 0 && length != end-start+1,
		total >= 0 && v.length >= 0 && total != v.length,
		v.changed(resp.Header), headerCoding(resp.Header) != v.coding:
		return nil, errStartOver
	}
	if total < 0 {
		total = v.length
	}
	return &Body{
		ReadCloser: resp.Body, Encoding: v.encoding, Offset: offset, Length: total, Validator: v.String(),
	}, nil
}

// atEnd reads a 416: the file ends exactly where the last answer broke off, or it
// is another one.
func atEnd(resp *http.Response, offset int64, v validator) (*Body, error) {
	size, ok := strings.CutPrefix(strings.TrimSpace(resp.Header.Get("Content-Range")), "bytes */")
	n, err := strconv.ParseInt(size, 10, 64)
	if !ok || err != nil || n != offset || v.changed(resp.Header) {
		return nil, errStartOver
	}
	_ = resp.Body.Close()
	return &Body{
		ReadCloser: http.NoBody, Encoding: v.encoding, Offset: offset, Length: n, Validator: v.String(),
	}, nil
}

// contentRange reads "bytes 5-9/10"; total is -1 for "*".
func contentRange(s string) (start, end, total int64, ok bool) {
	rest, found := strings.CutPrefix(strings.TrimSpace(s), "bytes ")
	span, size, slash := strings.Cut(rest, "/")
	from, to, dash := strings.Cut(strings.TrimSpace(span), "-")
	if !found || !slash || !dash {
		return 0, 0, 0, false
	}
	start, err1 := strconv.ParseInt(from, 10, 64)
	end, err2 := strconv.ParseInt(to, 10, 64)
	total = -1
	var err3 error
	if size = strings.TrimSpace(size); size != "*" {
		total, err3 = strconv.ParseInt(size, 10, 64)
	}
	return start, end, total, err1 == nil && err2 == nil && err3 == nil && start >= 0 && end >= start && (size == "*" || total >= 0)
}

// buffered reads through the buffer that the first bytes were looked at in.
type buffered struct {
	*bufio.Reader
	io.Closer
}
