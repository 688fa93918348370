package config

import (
	"path"
	"slices"
	"time"

	"github.com/flue-fhir/flue/pipeline/schedule"
)

func jobObject() object[Job] {
	return object[Job]{
		fields: []field[Job]{
			at("server", "Name of the server under servers.", text("server's name", "", nil), func(j *Job) *string { return &j.Server }).need(),
			at("schedule", "When the job is due, as a five-field cron expression. It is checked and kept for reference: cron or another scheduler runs `flue run JOB`.", text("cron expression", "", validCron), func(j *Job) *string { return &j.Schedule }).or("only by hand"),
			at("timezone", "IANA time zone of the schedule.", text("time zone", "", validZone), func(j *Job) *string { return &j.Timezone }).or("the machine's"),
			in("export", "What is asked of the server.", exportObject(), func(j *Job) *Export { return &j.Export }).need(),
			attachmentsField(),
			sinksField(),
			in("destination", "Where snapshots go.", destinationObject(), func(j *Job) *Destination { return &j.Destination }).need(),
			in("policies", "What to do when something is not as it should be.", policiesObject(), func(j *Job) *Policies { return &j.Policies }),
			in("retention", "Which snapshots stay after a run; without it, all. Whole chains go at once, never the one that latest is on.", retentionObject(), func(j *Job) *Retention { return &j.Retention }),
		},
		check: checkJob,
	}
}

// attachmentsField is a mapping whose presence means something, also when it is
// empty.
func attachmentsField() field[Job] {
	o := attachmentsObject()
	f := in("attachments", "Fetch what attachments of DocumentReference and DiagnosticReport point at, into the snapshot's attachments folder; {} fetches all.", o, func(j *Job) *Attachments {
		j.Attachments = new(Attachments)
		return j.Attachments
	})
	f.preset = nil
	return f.or("they are not fetched")
}

func sinksField() field[Job] {
	k := sequence(sinkObject().kind())
	f := at("sinks", "The formats that a snapshot is written in, each at most once.", k, func(j *Job) *[]Sink { return &j.Sinks }).need()
	f.word = "list of mappings"
	f.nested = sinkObject().rows()
	return f
}

func validCron(s string) (wrong, hint string) {
	if err := schedule.Validate(s); err != nil {
		return "is not a cron expression: " + err.Error(), `write minute, hour, day of month, month, day of week: "30 2 * * *" is every night at half past two`
	}
	return "", ""
}

func validZone(s string) (wrong, hint string) {
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		return "unknown time zone", "use an IANA name: Europe/Berlin, America/New_York, UTC"
	}
	return "", ""
}

func checkJob(d *decoder, c cursor, j *Job) {
	checkAttachments(d, c, j)
	sinks, _ := d.child(c, "sinks")
	seen := map[string]bool{}
	for i, s := range j.Sinks {
		if seen[s.Type] && s.Type != "" {
			where := sinks
			where.at = itemToken(d, sinks, i)
			d.fail(where, "two sinks of type "+s.Type, "a snapshot holds each format once")
		}
		seen[s.Type] = true
	}
	if j.Policies.FHIRVersions == "any" && seen["parquet"] {
		if policies, ok := d.child(c, "policies"); ok {
			where, _ := d.child(policies, "fhir_versions")
			d.fail(where, "any FHIR version together with Parquet", "Parquet columns come from the R4 definitions: remove the parquet sink or use R4")
		}
	}
}

func destinationObject() object[Destination] {
	return object[Destination]{
		fields: []field[Destination]{
			at("path", "Local folder; snapshots lie in <path>/<job>/snapshots, the newest is <path>/<job>/latest.", localPath(), func(v *Destination) *string { return &v.Path }).need(),
			at("file_mode", `Permission bits of published files, in octal.`, mode(), func(v *Destination) *uint32 { return &v.FileMode }).or("0600"),
			at("dir_mode", `Permission bits of published folders, in octal.`, mode(), func(v *Destination) *uint32 { return &v.DirMode }).or("0700"),
			at("group", "Group that owns what is published, by name or number.", identifier("group", false, nil), func(v *Destination) *string { return &v.Group }).or("that of the process"),
		},
		check: func(d *decoder, c cursor, v *Destination) {
			if v.FileMode != 0 && v.FileMode&0o400 == 0 {
				where, _ := d.child(c, "file_mode")
				d.fail(where, "the owner could not read the files", "include 4 for the owner: \"0640\"")
			}
			if v.DirMode != 0 && v.DirMode&0o700 != 0o700 {
				where, _ := d.child(c, "dir_mode")
				d.fail(where, "the owner could not use the folders", "include 7 for the owner: \"0750\"")
			}
			if path.Clean(v.Path) == "/" {
				where, _ := d.child(c, "path")
				d.fail(where, "is the root folder", "")
			}
		},
	}
}

func sinkObject() object[Sink] {
	return object[Sink]{
		fields: []field[Sink]{
			at("type", "Format: ndjson as the server sent it, parquet with one column for each FHIR element.", choice("ndjson", "parquet"), func(s *Sink) *string { return &s.Type }).need(),
			at("compression", "ndjson: gzip, zstd or none. parquet: zstd, snappy or none.", choice("gzip", "zstd", "snappy", "none"), func(s *Sink) *string { return &s.Compression }).or("gzip for ndjson, zstd for parquet"),
			at("level", "Compression level: 1 to 9 for gzip, 1 to 22 for zstd.", integer(1, 22), func(s *Sink) *int { return &s.Level }).or("the format's"),
			at("target_size", "Bytes of one output file, about.", size(1<<20), func(s *Sink) *int64 { return &s.TargetSize }).or("256MiB"),
			at("row_group", "parquet: bytes of input in one row group, about.", size(1<<20), func(s *Sink) *int64 { return &s.RowGroup }).or("128MiB"),
			at("max_columns", "parquet: columns of one type; what is beyond goes to __unmapped.", integer(16, 100_000), func(s *Sink) *int { return &s.MaxColumns }).or("5000"),
			at("max_depth", "parquet: nesting of columns; what is beyond goes to __unmapped.", integer(2, 64), func(s *Sink) *int { return &s.MaxDepth }).or("16"),
			byDefault(
				at("unmapped", "parquet: keep values that no column can hold in __unmapped, or fail the run.", choice("keep", "fail"), func(s *Sink) *string { return &s.Unmapped }),
				func(s *Sink) *string { return &s.Unmapped }, "keep"),
			byDefault(
				at("drift", "parquet: add the columns of elements that no earlier snapshot of the job had (widen), or fail the run.", choice("widen", "fail"), func(s *Sink) *string { return &s.Drift }),
				func(s *Sink) *string { return &s.Drift }, "widen"),
			byDefault(
				at("sort", "parquet: order of a type's rows: that of the server, or by patient and then date, which lets queries of a patient pass over most row groups.", choice("delivery", "patient"), func(s *Sink) *string { return &s.Sort }),
				func(s *Sink) *string { return &s.Sort }, "delivery"),
		},
		check: checkSink,
	}
}

func checkSink(d *decoder, c cursor, s *Sink) {
	var compressions []string
	switch s.Type {
	case "ndjson":
		d.onlyKeys(c, []string{"type", "compression", "level", "target_size"}, "for ndjson")
		compressions, s.Unmapped, s.Drift, s.Sort = []string{"gzip", "zstd", "none"}, "", "", ""
	case "parquet":
		compressions = []string{"zstd", "snappy", "none"}
	default:
		return
	}
	compression, given := d.child(c, "compression")
	switch {
	case !given:
		s.Compression = compressions[0]
	case s.Compression != "" && !slices.Contains(compressions, s.Compression):
		d.fail(compression, s.Type+" has no compression "+s.Compression, "want one of "+compressions[0]+", "+compressions[1]+", "+compressions[2])
	}
	level, _ := d.child(c, "level")
	switch {
	case s.Level != 0 && (s.Compression == "none" || s.Compression == "snappy"):
		d.fail(level, "compression "+s.Compression+" has no levels", "remove it")
	case s.Level > 9 && s.Compression == "gzip":
		d.fail(level, "gzip has the levels 1 to 9", "")
	}
}
