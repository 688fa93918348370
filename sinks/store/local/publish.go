package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// compact is the form of the time in a snapshot's name: names sort by time.
const compact = "20060102T150405Z"

// Publish writes the manifest, makes the snapshot visible by one rename and
// moves latest to it (I1). It sets the manifest's Version, Job, Run, Published
// and, unless the caller has chosen one, its Name, which sorts behind that of
// the snapshot that latest points at whatever the clock says.
//
// When the run is published already, as after a crash, only latest is moved,
// never backwards, and *m becomes the manifest that was published.
func (st *staging) Publish(ctx context.Context, m *sinks.Manifest) (string, error) {
	s := st.store
	published, err := s.Published(ctx, st.job, st.run)
	if err != nil {
		return "", err
	}
	if published == nil {
		if st.ended.Load() {
			return "", &Error{Op: "publish", Path: st.dir, Err: errEnded}
		}
		if err := st.describe(ctx, m); err != nil {
			return "", err
		}
		if err := st.seal(ctx, m); err != nil {
			return "", wrap("publish", st.dir, err)
		}
		if err := s.disk.Rename(st.dir, filepath.Join(s.Path, st.job, snapshotsName, m.Name)); err != nil {
			return "", wrap("publish", st.dir, err)
		}
	} else {
		*m = *published
		// The rename may not be durable yet, when the process died behind it.
		if err := s.disk.SyncDir(filepath.Join(s.Path, st.job, snapshotsName)); err != nil {
			return "", wrap("publish", st.dir, err)
		}
	}
	st.ended.Store(true)
	ctx = context.WithoutCancel(ctx) // what is visible is published, whatever ends the run
	if err := st.moveLatest(ctx, m.Name); err != nil {
		return "", err
	}
	if published != nil { // Stage made it anew
		if err := s.disk.RemoveAll(st.dir); err != nil {
			return "", wrap("publish", st.dir, err)
		}
	}
	location := filepath.Join(s.Path, st.job, snapshotsName, m.Name)
	if abs, err := filepath.Abs(location); err == nil {
		location = abs
	}
	return location, nil
}

// describe fills what the store knows of the manifest.
func (st *staging) describe(ctx context.Context, m *sinks.Manifest) error {
	m.Version, m.Job, m.Run = sinks.ManifestVersion, st.job, st.run
	if m.Published.IsZero() {
		m.Published = st.store.now().UTC()
	}
	if m.Name != "" {
		if err := checkName("snapshot", m.Name); err != nil {
			return err
		}
		if !strings.HasSuffix(m.Name, "-"+st.run) {
			return &Error{Op: "publish", Path: st.dir, Err: errors.New("the snapshot's name does not end with its run")}
		}
		return nil
	}
	latest, err := st.store.latest(ctx, st.job)
	if err != nil {
		return err
	}
	when := m.Published.UTC().Truncate(time.Second)
	stamp, _, _ := strings.Cut(latest, "-")
	if last, err := time.Parse(compact, stamp); err == nil && !when.After(last) {
		when = last.Add(time.Second)
	}
	m.Name = when.Format(compact) + "-" + st.run
	return nil
}

// seal makes everything in the staging what it is to be once published, and
// durable.
func (st *staging) seal(ctx context.Context, m *sinks.Manifest) error {
	disk := st.store.disk
	if err := disk.RemoveTemps(st.dir, true); err != nil {
		return err
	}
	listed := map[string]bool{filepath.Join(st.dir, manifestName): true}
	for _, f := range m.Files {
		path, err := st.path(ctx, f.Path)
		if err != nil {
			return err
		}
		fi, err := os.Lstat(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("check file: %w", err)
		}
		if err != nil || !fi.Mode().IsRegular() || fi.Size() != f.Bytes {
			return fmt.Errorf("check file %s: %w", f.Path, sinks.ErrChanged)
		}
		listed[path] = true
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := disk.WriteFile(filepath.Join(st.dir, manifestName), append(text, '\n'), 0o600); err != nil {
		return err
	}
	if m.Attachments != nil {
		if err := st.contents(ctx, m.Attachments); err != nil {
			return err
		}
	}
	if err := st.settle(ctx, st.dir, listed, m.Attachments != nil); err != nil {
		return err
	}
	if err := st.own.dir(st.dir); err != nil { // last: until here the staging is its owner's
		return err
	}
	return disk.SyncDir(st.dir)
}

// settle gives what is below dir its mode and group, and syncs the folders. The
// files have both since they were committed, unless the configuration changed
// since then. Files that are not listed are of a try that ended before it could
// tell of them, and are removed: whoever reads a folder of the snapshot reads what
// its manifest describes (I1, I5). The contents of attachments are settled already.
func (st *staging) settle(ctx context.Context, dir string, listed map[string]bool, attachments bool) error {
	contents := attachments && dir == filepath.Join(st.dir, sinks.AttachmentFolder)
	return eachEntry(ctx, dir, func(e fs.DirEntry) error {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			if err := st.settle(ctx, path, listed, attachments); err != nil {
				return err
			}
			if err := st.own.dir(path); err != nil {
				return err
			}
			return st.store.disk.SyncDir(path)
		case contents && sinks.IsContent(e.Name()):
			return nil
		case !listed[path]:
			return st.store.disk.RemoveAll(path)
		}
		return st.settleFile(e, path)
	})
}

func (st *staging) settleFile(e fs.DirEntry, path string) error {
	fi, err := e.Info()
	if err != nil {
		return fmt.Errorf("settle files: %w", err)
	}
	sys, ok := fi.Sys().(*syscall.Stat_t)
	if fi.Mode() == st.own.fileMode && (st.own.gid < 0 || ok && int(sys.Gid) == st.own.gid) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("settle files: %w", err)
	}
	return errors.Join(st.own.open(f), f.Sync(), f.Close())
}

// moveLatest points latest at a snapshot, unless it points at a newer one.
func (st *staging) moveLatest(ctx context.Context, name string) error {
	s := st.store
	link := filepath.Join(s.Path, st.job, latestName)
	current, err := s.latest(ctx, st.job)
	if err != nil {
		return err
	}
	if current >= name { // names sort by time
		if _, err := os.Stat(filepath.Join(s.Path, st.job, snapshotsName, current)); err == nil {
			return nil
		}
	}
	return wrap("move latest", link, s.disk.Symlink(filepath.Join(snapshotsName, name), link))
}
