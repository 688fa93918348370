package config

import "path"

// fileObject is the top of jobs.yaml.
func fileObject() object[File] {
	return object[File]{
		fields: []field[File]{
			at("version", "Version of this file's format.", integer(1, 1), func(f *File) *int { return &f.Version }).need(),
			at("state_dir", "Folder of the ledger, generated keys and locks, on a local disk. Relative paths start at this file's folder.", localPath(), func(f *File) *string { return &f.StateDir }).or("the XDG state folder, ~/.local/state/flue"),
			at("spool_dir", "Folder of what is downloaded but not published yet.", localPath(), func(f *File) *string { return &f.SpoolDir }).or("spool below state_dir"),
			serversField(),
			jobsField(),
		},
		check: checkFile,
	}
}

func serversField() field[File] {
	k := names("servers by name", nameForm.String(), validName, serverObject().kind())
	return field[File]{
		key: "servers", doc: "The FHIR servers, by names of your choice.", word: k.word, needed: true,
		schema: k.schema, nested: serverObject().rows(),
		read: func(d *decoder, c cursor, f *File) {
			all, _ := k.read(d, c)
			f.Servers = make(map[string]Server, len(all))
			for _, n := range all {
				n.value.Name = n.name
				f.Servers[n.name] = n.value
			}
		},
	}
}

func jobsField() field[File] {
	k := names("jobs by name", nameForm.String(), validName, jobObject().kind())
	return field[File]{
		key: "jobs", doc: "What to export from them. A job's name is also its folder below the destination.", word: k.word, needed: true,
		schema: k.schema, nested: jobObject().rows(),
		read: func(d *decoder, c cursor, f *File) {
			all, _ := k.read(d, c)
			f.Jobs = make(map[string]Job, len(all))
			for _, n := range all {
				n.value.Name = n.name
				f.Jobs[n.name] = n.value
				f.Order = append(f.Order, n.name)
			}
		},
	}
}

func checkFile(d *decoder, c cursor, f *File) {
	jobs, ok := d.child(c, "jobs")
	if !ok || f.Servers == nil {
		return
	}
	spool := f.SpoolDir
	for _, name := range f.Order {
		job := f.Jobs[name]
		at, _ := d.child(jobs, name)
		if _, known := f.Servers[job.Server]; !known && job.Server != "" {
			if where, ok := d.child(at, "server"); ok && !d.hasEntry(c, "servers", job.Server) {
				hint := "define it under servers"
				if near := closest(job.Server, mapKeys(f.Servers)); near != "" {
					hint = "did you mean " + near + "?"
				}
				d.fail(where, "unknown server \""+shorten(job.Server)+"\"", hint)
			}
		}
		if spool != "" && job.Destination.Path != "" && path.Clean(spool) == path.Clean(job.Destination.Path) {
			if where, ok := d.child(at, "destination"); ok {
				d.fail(where, "destination is the spool folder", "give them folders of their own")
			}
		}
	}
}

// hasEntry reports whether the mapping at a key has a key of that name, wrong as
// its value may be: then its own error suffices.
func (d *decoder) hasEntry(c cursor, key, name string) bool {
	m, ok := d.child(c, key)
	if !ok {
		return false
	}
	_, ok = d.child(m, name)
	return ok
}
