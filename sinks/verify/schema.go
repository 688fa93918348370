package verify

import (
	"fmt"
	"path"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet"
)

// Schemas reads the manifest of a snapshot and the columns of its Parquet by
// type: those of _schema.json, or, of types that the snapshot has no files of,
// those that the manifest keeps for the next one. Nothing is checked. A folder
// that is no snapshot is a *NotSnapshotError.
func Schemas(dir string) (*sinks.Manifest, map[string]*parquet.Document, error) {
	root, _, err := open(dir)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	m, err := readManifest(root)
	if no := notSnapshot(dir, err); no != nil {
		return nil, nil, no
	}
	if err != nil {
		return nil, nil, err
	}
	docs := map[string]*parquet.Document{}
	for _, f := range m.Files {
		name := parquetFormat + "/" + f.Type + "/" + parquet.SchemaName
		if path.Clean(f.Path) != name {
			continue
		}
		text, err := read(root, name)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", printable(name), cause(err))
		}
		if docs[f.Type], err = parquet.ReadDocument(text); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", printable(name), err)
		}
	}
	for typ, record := range m.Schemas[parquetFormat] {
		if docs[typ] == nil {
			if docs[typ], err = parquet.Describe(typ, []byte(record)); err != nil {
				return nil, nil, err
			}
		}
	}
	return m, docs, nil
}
