package config

import "time"

func policiesObject() object[Policies] {
	word := func(key, doc string, where func(*Policies) *string, first, second string) field[Policies] {
		return byDefault(at(key, doc, choice(first, second), where), where, first)
	}
	return object[Policies]{
		fields: []field[Policies]{
			at("full_every", "How old a chain of incremental snapshots grows before a full one starts the next.", duration(time.Minute, 0), func(p *Policies) *time.Duration { return &p.FullEvery }).or("7d"),
			at("overlap", "Taken off the watermark of a snapshot, so that nothing falls between two runs.", duration(time.Second, 0), func(p *Policies) *time.Duration { return &p.Overlap }).or("10m"),
			at("resume_within", "How old a failed run may be for the next one to take it up again.", duration(time.Minute, 0), func(p *Policies) *time.Duration { return &p.ResumeWithin }).or("20h"),
			at("detached_within", "The same for a run whose export was left running at the server (flue run --detach) or taken over (flue adopt).", duration(time.Minute, 0), func(p *Policies) *time.Duration { return &p.DetachedWithin }).or("30d"),
			at("max_duration", "How long one run may take, the tries before included; where its export was left running at the server (flue run --detach) or taken over (flue adopt), how long one try may.", duration(time.Second, 0), func(p *Policies) *time.Duration { return &p.MaxDuration }).or("unlimited"),
			word("missing_scope", "When the server grants less than was asked: fail the run, or skip the types concerned and record it.", func(p *Policies) *string { return &p.MissingScope }, "fail", "skip"),
			word("ambiguous_kickoff", "When the connection broke so that nobody knows whether the server took the request: repeat it, or stop.", func(p *Policies) *string { return &p.AmbiguousKickoff }, "repeat", "stop"),
			word("on_export_lost", "When the server no longer knows the export: restart it, or fail.", func(p *Policies) *string { return &p.OnExportLost }, "restart", "fail"),
			word("on_server_errors", "When the server reports errors beside its output: fail, or warn and publish.", func(p *Policies) *string { return &p.OnServerErrors }, "fail", "warn"),
			word("on_count_mismatch", "When a file has other than the announced number of resources: fail, or warn and publish.", func(p *Policies) *string { return &p.OnCountMismatch }, "fail", "warn"),
			at("allow_empty", "Publish a full snapshot without a single resource.", boolean(), func(p *Policies) *bool { return &p.AllowEmpty }).or("false"),
			word("fhir_versions", "FHIR versions of the server that the job accepts; any only without Parquet.", func(p *Policies) *string { return &p.FHIRVersions }, "R4", "any"),
			at("max_line", "Bytes of one resource.", size(64<<10), func(p *Policies) *int64 { return &p.MaxLine }).or("64MiB"),
			at("max_bad_lines", "Quarantined lines that a run survives: so many, or a share of the lines delivered (0.1%). A number fails the run as soon as there are more, a share when everything has landed. A type with such lines keeps its watermark, so that they are asked for again.", allowance(), func(p *Policies) *Allowance { return &p.MaxBadLines }).or("0"),
			at("memory", "Memory for the buffers of a run.", size(64<<20), func(p *Policies) *int64 { return &p.Memory }).or("256MiB"),
			at("min_free_disk", "Bytes that must stay free on the disk of the spool. A destination that is full stops the run, which is resumed once there is room.", size(1<<20), func(p *Policies) *int64 { return &p.MinFreeDisk }).or("256MiB"),
		},
	}
}
