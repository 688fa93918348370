package population

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// kind is a resource type of the population.
type kind int

// The types, in the order of their files' creation.
const (
	patients kind = iota
	encounters
	conditions
	observations
	medications
	procedures
	immunizations
	reports
	claims
	explanations
	documents
	binaries
	organizations
	practitioners
	groups
	kinds
)

func (k kind) String() string {
	return [...]string{
		"Patient", "Encounter", "Condition", "Observation", "MedicationRequest", "Procedure", "Immunization",
		"DiagnosticReport", "Claim", "ExplanationOfBenefit", "DocumentReference", "Binary",
		"Organization", "Practitioner", "Group",
	}[k]
}

// batch gathers the lines of a few patients, by type.
type batch struct {
	lines  [kinds]bytes.Buffer
	counts [kinds]int64
	encode [kinds]*json.Encoder
}

func newBatch() *batch {
	b := new(batch)
	for k := range b.encode {
		b.encode[k] = json.NewEncoder(&b.lines[k])
		b.encode[k].SetEscapeHTML(false)
	}
	return b
}

// add appends the resource's line.
func (b *batch) add(k kind, resource any) error {
	b.counts[k]++
	return b.encode[k].Encode(resource)
}

func (b *batch) reset() {
	for k := range b.lines {
		b.lines[k].Reset()
		b.counts[k] = 0
	}
}

// batchPatients is how many patients go into one batch. It bounds the memory
// of a worker to a few megabytes.
const batchPatients = 64

// files receives the batches of all workers in the order of the patients.
type files struct {
	out      [kinds]*os.File
	manifest Manifest
}

// append writes the batch at the end of each type's file.
func (f *files) append(b *batch) error {
	for k := range kinds {
		if b.lines[k].Len() == 0 {
			continue
		}
		if _, err := f.out[k].Write(b.lines[k].Bytes()); err != nil {
			return err
		}
		f.manifest.Counts[k.String()] += b.counts[k]
		f.manifest.Bytes[k.String()] += int64(b.lines[k].Len())
	}
	return nil
}

// write puts the whole population into dir and syncs it to disk.
func (p Population) write(ctx context.Context, dir string) (err error) {
	f := &files{manifest: Manifest{Version: Version, Patients: p.Patients, Seed: p.Seed, Counts: map[string]int64{}, Bytes: map[string]int64{}}}
	defer func() {
		for _, file := range f.out {
			if file != nil {
				if cerr := file.Close(); err == nil {
					err = cerr
				}
			}
		}
	}()
	for k := range kinds {
		if f.out[k], err = os.OpenFile(filepath.Join(dir, k.String()+".ndjson"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}
	g := newGenerator(p)
	if err := g.actors(); err != nil {
		return err
	}
	if err := f.append(g.out); err != nil {
		return err
	}
	if err := p.writePatients(ctx, f); err != nil {
		return err
	}
	for _, file := range f.out {
		if err := file.Sync(); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(f.manifest, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestName), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// writePatients lets the workers take batches in turn: worker w makes the
// batches w, w+n, w+2n, …, and each batch waits for the one before it to be
// written, so that the files do not depend on who was faster.
func (p Population) writePatients(ctx context.Context, f *files) error {
	group, ctx := errgroup.WithContext(ctx)
	batches := (p.Patients + batchPatients - 1) / batchPatients
	turn := make([]chan struct{}, p.Workers)
	for w := range turn {
		turn[w] = make(chan struct{}, 1)
	}
	turn[0] <- struct{}{}
	for w := range p.Workers {
		group.Go(func() error {
			g := newGenerator(p)
			for n := w; n < batches; n += p.Workers {
				g.out.reset()
				for i := n * batchPatients; i < min((n+1)*batchPatients, p.Patients); i++ {
					if err := g.patient(i); err != nil {
						return err
					}
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-turn[w]:
				}
				if err := f.append(g.out); err != nil {
					return err
				}
				turn[(w+1)%p.Workers] <- struct{}{}
			}
			return nil
		})
	}
	return group.Wait()
}
