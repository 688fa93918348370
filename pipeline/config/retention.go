package config

func retentionObject() object[Retention] {
	return object[Retention]{
		fields: []field[Retention]{
			at("keep", "The newest so many snapshots stay, and the chains that they are on.", integer(1, 100_000), func(r *Retention) *int { return &r.Keep }),
			at("keep_days", "Snapshots of the last so many days stay, and the chains that they are on.", integer(1, 36_500), func(r *Retention) *int { return &r.KeepDays }),
		},
		check: func(d *decoder, c cursor, r *Retention) {
			_, keep := d.child(c, "keep")
			_, days := d.child(c, "keep_days")
			if !keep && !days {
				d.fail(c, "says nothing", "give keep, keep_days or both; without retention every snapshot stays")
			}
		},
	}
}
