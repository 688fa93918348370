package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/flue-fhir/flue/internal/fhirjson"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// membersName is the list of the members in their snapshot: one line a patient. It
// lies with the snapshot, because the watermarks do (I2).
const membersName = "members.ndjson"

// member is a line of it.
type member struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// census is who is in the group, beside who was in it at the last snapshot.
type census struct {
	members   idSet
	joined    int64
	left      int64
	newcomers []string // ids, while they are not too many for one request
}

// meet reads the list that has landed and keeps what came of it in the plan, where
// nobody is named (I7). why says why newcomers cannot be told from it, "" when they
// can.
func (x *execution) meet(ctx context.Context, tasks []ledger.Task) (why string, err error) {
	for _, t := range tasks {
		p, err := x.listed(t)
		if err != nil {
			return "", err
		}
		if i := p.Info(); i.Quarantined > 0 || flaw(delivery{t, i}) != "" {
			x.plan.Tracked = false // who is missing in it would be a newcomer next time
			return "the list of the members did not come whole", nil
		}
	}
	c, err := x.census(ctx, tasks)
	var unknown *unknownMembersError
	if errors.As(err, &unknown) {
		return unknown.why(), nil
	}
	if err != nil {
		return "", err
	}
	x.plan.Joined, x.plan.Left = c.joined, c.left
	if c.joined > maxNewcomers {
		return "more joined than one request can name", nil
	}
	return "", nil
}

// census reads the members from the parts of the tasks, and holds them against those
// of the snapshot that a delta rests on. Memory is 16 bytes a member of each.
func (x *execution) census(ctx context.Context, tasks []ledger.Task) (*census, error) {
	c := &census{}
	err := x.eachMember(ctx, tasks, func(_ string, id spool.ID) error {
		c.members = append(c.members, id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.members = c.members.sorted()
	if x.plan.Kind != sinks.Delta {
		return c, nil
	}
	known, err := x.known(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range known {
		if _, ok := c.members.find(id); !ok {
			c.left++
		}
	}
	for _, id := range c.members {
		if _, ok := known.find(id); !ok {
			c.joined++
		}
	}
	if c.joined == 0 || c.joined > maxNewcomers {
		return c, nil
	}
	named := make(map[spool.ID]bool, c.joined)
	return c, x.eachMember(ctx, tasks, func(name string, id spool.ID) error {
		if _, ok := known.find(id); !ok && !named[id] {
			named[id] = true
			c.newcomers = append(c.newcomers, name)
		}
		return nil
	})
}

// eachMember yields the patients in the parts of a list of members, some perhaps
// more than once.
func (x *execution) eachMember(ctx context.Context, tasks []ledger.Task, yield func(name string, id spool.ID) error) error {
	for _, t := range tasks {
		if t.Kind != kindMember {
			continue
		}
		p, err := x.listed(t)
		if err != nil {
			return err
		}
		err = x.eachLine(ctx, p.Open, func(line []byte) error {
			var r struct {
				ResourceType string `json:"resourceType"`
				ID           string `json:"id"`
			}
			if err := json.Unmarshal(line, &r); err != nil || r.ResourceType != patientType || r.ID == "" {
				return nil // an outcome, a header
			}
			return yield(r.ID, spool.NewID(patientType, r.ID))
		})
		if err != nil {
			return fmt.Errorf("read members: %w", lostList(err))
		}
	}
	return nil
}

// listed returns the landed part of a task. One that the disk lost makes the run ask
// anew.
func (x *execution) listed(t ledger.Task) (*spool.Part, error) {
	p, err := x.spool.Part(t.Key)
	if err == nil && p == nil {
		err = errListGone
	}
	return p, lostList(err)
}

var errListGone = errors.New("a landed part is gone")

// lostList makes damage of a list on the local disk what begins the run's exports
// anew: the list's own was deleted.
func lostList(err error) error {
	var damaged *spool.DamagedError
	if errors.Is(err, errListGone) || errors.As(err, &damaged) {
		return &movedError{"the list of the members was damaged on the local disk"}
	}
	return err
}

// unknownMembersError is a list of a published snapshot that cannot be read.
type unknownMembersError struct{ err error }

func (e *unknownMembersError) Error() string {
	return "read members of the last snapshot: " + e.err.Error()
}
func (e *unknownMembersError) Unwrap() error { return e.err }
func (*unknownMembersError) why() string     { return "the members of the last snapshot cannot be read" }

// known are the members at the snapshot that the delta rests on.
func (x *execution) known(ctx context.Context) (idSet, error) {
	if x.latest == nil || x.latest.Members == nil {
		return nil, &unknownMembersError{errors.New("it has no such list")}
	}
	var ids idSet
	open := func() (io.ReadCloser, error) {
		return x.r.Store.Open(ctx, x.r.Job.Name, x.latest.Name, x.latest.Members.Path)
	}
	err := x.eachLine(ctx, open, func(line []byte) error {
		var m member
		if err := json.Unmarshal(line, &m); err != nil || m.ID == "" {
			return errors.New("a line names no member")
		}
		ids = append(ids, spool.NewID(patientType, m.ID))
		return nil
	})
	if err == nil && int64(len(ids)) != x.latest.Members.Count {
		err = errors.New("it has another number of members than its manifest says")
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, &unknownMembersError{err}
	}
	return ids.sorted(), nil
}

func (x *execution) eachLine(ctx context.Context, open func() (io.ReadCloser, error), yield func(line []byte) error) (err error) {
	body, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	lines := fhirjson.NewReader(body, x.r.Job.Policies.MaxLine)
	for n := 0; ; n++ {
		if n&1023 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := yield(line); err != nil {
			return err
		}
	}
}

// met reports whether all is there of those who joined: where a watermark stays, also
// that of a type which this run does not ask for, older data of theirs may be missing,
// and the next run must not take them for known (I2).
func (x *execution) met(sum *tally) bool {
	if x.plan.Joined == 0 || x.plan.Kind != sinks.Delta {
		return true
	}
	mark := x.mark()
	for _, m := range x.watermarks(sum) {
		if !m.Equal(mark) {
			return false
		}
	}
	return true
}

// brought are the tasks that were to bring those who have to come whole: of a delta
// those of the newcomers' export.
func (x *execution) brought(tasks []ledger.Task) []ledger.Task {
	if x.plan.Kind != sinks.Delta {
		return tasks
	}
	return slices.DeleteFunc(slices.Clone(tasks), func(t ledger.Task) bool { return generationOf(t.Key) >= x.plan.Generation })
}

// stageMembers writes the list of the members who came, each once, for the next run;
// nil when the run does not know them, or a type of those who joined did not come whole.
func (x *execution) stageMembers(ctx context.Context, tasks []ledger.Task, sum *tally) (*sinks.Members, *sinks.File, error) {
	if !x.plan.Tracked {
		return nil, nil, nil
	}
	if !x.met(sum) {
		x.warn("members-held", "not every type came whole while members joined: the next run asks for everything", 1)
		return nil, nil, nil
	}
	c, err := x.census(ctx, tasks)
	var unknown *unknownMembersError
	if errors.As(err, &unknown) {
		x.warn("members-held", unknown.why()+" any more: the next run asks for everything", 1)
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	missing, err := x.absent(ctx, c, x.brought(tasks))
	if err != nil {
		return nil, nil, err
	}
	if n := int64(len(missing)); n > 0 {
		x.warn("members-absent", "members are in the list of the group, but no Patient of theirs came: the next run takes them for newcomers", n)
	}
	ids := c.members
	f, err := x.writeFile(ctx, membersName, "", int64(len(ids)-len(missing)), func(w io.Writer) (rows int64, err error) {
		written := make([]bool, len(ids))
		out := bufio.NewWriterSize(w, 64<<10)
		err = x.eachMember(ctx, tasks, func(name string, id spool.ID) error {
			i, ok := ids.find(id)
			if _, absent := missing.find(id); !ok || absent || written[i] {
				return nil
			}
			written[i] = true
			rows++
			line, err := json.Marshal(member{patientType, name})
			if err == nil {
				_, err = out.Write(append(line, '\n'))
			}
			return err
		})
		return rows, errors.Join(err, out.Flush())
	})
	if err != nil {
		return nil, nil, err
	}
	m := &sinks.Members{Path: f.Path, Count: f.Rows, Absent: int64(len(missing)), Left: x.plan.Left, Joined: x.plan.Joined}
	return m, f, nil
}

// idSet are names of resources in order, each once.
type idSet []spool.ID

func (s idSet) sorted() idSet {
	slices.SortFunc(s, compareIDs)
	return slices.Compact(s)
}

func (s idSet) find(id spool.ID) (int, bool) { return slices.BinarySearchFunc(s, id, compareIDs) }

func compareIDs(a, b spool.ID) int { return bytes.Compare(a[:], b[:]) }
