package sinks

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// AttachmentFolder is the folder of a snapshot where the contents of attachments
// lie, each once, named by its SHA-256; AttachmentIndex is the file there that says
// which attachment has which.
const (
	AttachmentFolder = "attachments"
	AttachmentIndex  = AttachmentFolder + "/index.ndjson"
)

// AttachmentStatus says what came of an attachment.
type AttachmentStatus string

// The statuses of attachments.
const (
	Fetched  AttachmentStatus = "fetched"
	Filtered AttachmentStatus = "filtered" // not wanted by the job
	Failed   AttachmentStatus = "failed"   // its resource is published all the same (F45)
)

// Attachment is a row of the index: an attachment with a URL of a published
// resource. The URL is not in it: it may be signed (F44), and the resource has it.
type Attachment struct {
	Type        string           `json:"type"`                  // of the resource
	ID          string           `json:"id"`                    // of the resource
	Path        string           `json:"path"`                  // of the element: content[0].attachment
	ContentType string           `json:"contentType,omitempty"` // as declared, else as the server sent it
	Status      AttachmentStatus `json:"status"`
	Code        string           `json:"code,omitempty"` // why it was filtered or failed
	// Size is the content's bytes; of an attachment that was not fetched what the
	// resource declares, 0 when it does not.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // lower-case hex; the name of the file
}

// Attachments is what the manifest says of the attachments:
// Found = Fetched + Filtered + Failed, the rows of the index.
type Attachments struct {
	Types   []string `json:"types"`          // whose attachments were asked for
	MIME    []string `json:"mime,omitempty"` // patterns of the content types; none: all
	MaxSize int64    `json:"maxSize"`        // bytes of one content

	Found    int64 `json:"found"`
	Fetched  int64 `json:"fetched"`
	Filtered int64 `json:"filtered"`
	Failed   int64 `json:"failed"`

	Contents int64              `json:"contents"` // files
	Bytes    int64              `json:"bytes"`    // of them
	Reasons  []AttachmentReason `json:"reasons,omitempty"`
}

// AttachmentReason counts the attachments that were not fetched for one reason.
type AttachmentReason struct {
	Status AttachmentStatus `json:"status"`
	Code   string           `json:"code"`
	Count  int64            `json:"count"`
}

// EachAttachment yields the rows of an index until yield returns an error.
func EachAttachment(r io.Reader, yield func(Attachment) error) error {
	for dec := json.NewDecoder(r); ; {
		var a Attachment
		switch err := dec.Decode(&a); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			// Its text may quote the row (I7).
			return errors.New("read attachment index: it is not NDJSON of its kind")
		case a.Status == Fetched && !IsContent(a.SHA256):
			return errors.New("read attachment index: a row has no SHA-256")
		}
		if err := yield(a); err != nil {
			return err
		}
	}
}

// IsContent reports whether a name is that of a content: a SHA-256 in lower-case
// hex.
func IsContent(name string) bool {
	if len(name) != 64 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// contentsHeld is about how many contents EachContents holds at a time: some 15 MB.
const contentsHeld = 100_000

// Contents is a set of the contents that an index names.
type Contents struct {
	Sizes map[string]int64 // bytes, by name

	part, parts uint64
}

// Covers reports whether a content would be in this set, if the index named it.
func (c Contents) Covers(name string) bool {
	if !IsContent(name) {
		return false
	}
	head, _ := hex.DecodeString(name[:16]) // it is hex
	part, _ := bits.Mul64(binary.BigEndian.Uint64(head), c.parts)
	return part == c.part
}

// First reports whether the set is the first of its index.
func (c Contents) First() bool { return c.part == 0 }

// EachContents yields the distinct contents of an index with so many rows, in sets
// that each fit the memory (I8): the index is read once for each.
func EachContents(rows int64, open func() (io.ReadCloser, error), yield func(Contents) error) error {
	return eachContents(rows, contentsHeld, open, yield)
}

func eachContents(rows, held int64, open func() (io.ReadCloser, error), yield func(Contents) error) error {
	parts := uint64(max(rows, 0)/held + 1)
	for part := range parts {
		c := Contents{Sizes: map[string]int64{}, part: part, parts: parts}
		if err := c.read(open); err != nil {
			return err
		}
		if err := yield(c); err != nil {
			return err
		}
	}
	return nil
}

func (c Contents) read(open func() (io.ReadCloser, error)) (err error) {
	r, err := open()
	if err != nil {
		return fmt.Errorf("open attachment index: %w", err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return EachAttachment(r, func(a Attachment) error {
		if a.Status != Fetched || !c.Covers(a.SHA256) {
			return nil
		}
		if size, ok := c.Sizes[a.SHA256]; ok && size != a.Size {
			return errors.New("read attachment index: a content has two sizes")
		}
		c.Sizes[a.SHA256] = a.Size
		return nil
	})
}
