package parquet

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/sinks"
)

const observation0 = "parquet/Observation/part-00000.parquet"

// rows converts lines of one type, checks that they rebuild, and returns the
// staging.
func rows(t *testing.T, typ string, lines ...string) (sinks.Output, *staging) {
	t.Helper()
	return roundTrip(t, &Sink{}, newInput(t, typ, text(lines...)))
}

func wantColumn(t *testing.T, dst *staging, path, name string, want ...string) {
	t.Helper()
	if got := column(t, dst, path, name); !slices.Equal(got, want) {
		t.Errorf("column %s: got %q, want %q", name, got, want)
	}
}

// TestSchemaText shows the whole form of a schema: REQUIRED resourceType, the
// rest OPTIONAL in definition order, three-level lists, flat choices, derived
// columns beside their texts, the row's own columns at the end.
func TestSchemaText(t *testing.T) {
	_, dst := rows(t, "Observation",
		`{"valueQuantity":{"unit":"kg","value":1.50},"resourceType":"Observation","subject":{"reference":"Patient/1"},"id":"a","_status":{"id":"s"},"status":"final","category":[{"coding":[{"code":"c","userSelected":true}]}],"effectiveDateTime":"2020","component":[{"code":{"text":"x"},"valueInteger":3}]}`)
	want := `required group field_id=-1 schema {
  required byte_array field_id=-1 resourceType (String);
  optional byte_array field_id=-1 id (String);
  optional byte_array field_id=-1 status (String);
  optional group field_id=-1 _status {
    optional byte_array field_id=-1 id (String);
  }
  optional group field_id=-1 category (List) {
    repeated group field_id=-1 list {
      optional group field_id=-1 element {
        optional group field_id=-1 coding (List) {
          repeated group field_id=-1 list {
            optional group field_id=-1 element {
              optional byte_array field_id=-1 code (String);
              optional boolean field_id=-1 userSelected;
            }
          }
        }
      }
    }
  }
  optional group field_id=-1 subject {
    optional byte_array field_id=-1 reference (String);
    optional byte_array field_id=-1 __reference_type (String);
    optional byte_array field_id=-1 __reference_id (String);
  }
  optional byte_array field_id=-1 effectiveDateTime (String);
  optional int64 field_id=-1 __effectiveDateTime_start (Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false, force_set_converted_type=false));
  optional int64 field_id=-1 __effectiveDateTime_end (Timestamp(isAdjustedToUTC=true, timeUnit=microseconds, is_from_converted_type=false, force_set_converted_type=false));
  optional group field_id=-1 valueQuantity {
    optional byte_array field_id=-1 value (String);
    optional fixed_len_byte_array field_id=-1 __value_numeric (Decimal(precision=32, scale=6));
    optional byte_array field_id=-1 unit (String);
  }
  optional group field_id=-1 component (List) {
    repeated group field_id=-1 list {
      optional group field_id=-1 element {
        optional group field_id=-1 code {
          optional byte_array field_id=-1 text (String);
        }
        optional int32 field_id=-1 valueInteger;
      }
    }
  }
  optional byte_array field_id=-1 __unmapped (String);
  optional byte_array field_id=-1 __run (String);
}
`
	if diff := cmp.Diff(want, schemaText(open(t, dst, observation0))); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	wantColumn(t, dst, observation0, "resourceType", "Observation")
	wantColumn(t, dst, observation0, "__run", "run-1")
	wantColumn(t, dst, observation0, "__unmapped", "NULL")
	wantColumn(t, dst, observation0, "component.valueInteger", "3")
}

func TestDecimals(t *testing.T) {
	out, dst := rows(t, "Observation",
		`{"resourceType":"Observation","valueQuantity":{"value":1.50}}`,
		`{"resourceType":"Observation","valueQuantity":{"value":1E2}}`,
		`{"resourceType":"Observation","valueQuantity":{"value":-0}}`,
		`{"resourceType":"Observation","valueQuantity":{"value":12345678901234567890123456.12345678901234567890123456}}`,
		`{"resourceType":"Observation","valueQuantity":{"value":1e999999999}}`,
		`{"resourceType":"Observation","valueQuantity":{"value":1e-999999999}}`,
		`{"resourceType":"Observation","valueQuantity":{"value":1e999999999}}`,
		`{"resourceType":"Observation"}`,
		`{"resourceType":"Observation","valueQuantity":{"value":1.5}}`)
	wantColumn(t, dst, observation0, "valueQuantity.value",
		"1.50", "1E2", "-0", "12345678901234567890123456.12345678901234567890123456", "1e999999999", "1e-999999999", "1e999999999", "NULL", "1.5")
	wantColumn(t, dst, observation0, "valueQuantity.__value_numeric",
		"1500000", "100000000", "0", "12345678901234567890123456123457", "NULL", "0", "NULL", "NULL", "1500000")
	if want := (sinks.Losses{Rounded: 2, Overflow: 2}); out.Losses != want {
		t.Errorf("losses: got %+v, want %+v", out.Losses, want)
	}
}

// TestDates: partial dates, offsets, a leap second and texts that R4 does not
// allow, whose keys are null.
func TestDates(t *testing.T) {
	_, dst := rows(t, "Patient",
		`{"resourceType":"Patient","birthDate":"1974","meta":{"lastUpdated":"2016-12-31T23:59:60Z"}}`,
		`{"resourceType":"Patient","birthDate":"1974-12","meta":{"lastUpdated":"2015-02-07T13:28:17.239+02:00"}}`,
		`{"resourceType":"Patient","birthDate":"about 1974","deceasedDateTime":"2020-01-01T10:00:00"}`,
		`{"resourceType":"Patient","birthDate":"1974-12-25"}`)
	const path = "parquet/Patient/part-00000.parquet"
	wantColumn(t, dst, path, "birthDate", "1974", "1974-12", "about 1974", "1974-12-25")
	wantColumn(t, dst, path, "__birthDate_start", "1974-01-01T00:00:00Z", "1974-12-01T00:00:00Z", "NULL", "1974-12-25T00:00:00Z")
	wantColumn(t, dst, path, "__birthDate_end", "1974-12-31T23:59:59.999999Z", "1974-12-31T23:59:59.999999Z", "NULL", "1974-12-25T23:59:59.999999Z")
	wantColumn(t, dst, path, "meta.__lastUpdated_start", "2016-12-31T23:59:59.999999Z", "2015-02-07T11:28:17.239Z", "NULL", "NULL")
	wantColumn(t, dst, path, "__deceasedDateTime_end", "NULL", "NULL", "2020-01-01T10:00:00.999999Z", "NULL")
}

// TestAlignedLists: derived columns of a repeating primitive, and its companion,
// have an item for every item.
func TestAlignedLists(t *testing.T) {
	_, dst := rows(t, "ServiceRequest",
		`{"resourceType":"ServiceRequest","occurrenceTiming":{"event":["2020","nonsense",null,"2021-02"],"_event":[null,null,{"id":"e"},null]}}`,
		`{"resourceType":"ServiceRequest"}`,
		`{"resourceType":"ServiceRequest","occurrenceTiming":{"event":["2019"]}}`)
	const sr = "parquet/ServiceRequest/part-00000.parquet"
	wantColumn(t, dst, sr, "occurrenceTiming.event", "2020", "nonsense", "NULL", "2021-02", "NULL", "2019")
	wantColumn(t, dst, sr, "occurrenceTiming.__event_start",
		"2020-01-01T00:00:00Z", "NULL", "NULL", "2021-02-01T00:00:00Z", "NULL", "2019-01-01T00:00:00Z")
	wantColumn(t, dst, sr, "occurrenceTiming._event.id", "NULL", "NULL", "e", "NULL", "NULL", "NULL")
}

func TestPrimitiveExtensions(t *testing.T) {
	_, dst := rows(t, "Patient",
		`{"resourceType":"Patient","name":[{"given":["A",null,"C"],"_given":[null,{"extension":[{"url":"u","valueCode":"x"}]}]},{"_given":[{"id":"only"}]}]}`,
		`{"resourceType":"Patient","_birthDate":{"extension":[{"url":"u","valueDateTime":"2020"}]}}`,
		`{"resourceType":"Patient","name":[{"given":[null],"_given":[null,null]}]}`)
	const path = "parquet/Patient/part-00000.parquet"
	wantColumn(t, dst, path, "name.given", "A", "NULL", "C", "NULL", "NULL", "NULL")
	wantColumn(t, dst, path, "name._given.extension.valueCode", "NULL", "x", "NULL", "NULL", "NULL", "NULL")
	wantColumn(t, dst, path, "_birthDate.extension.__valueDateTime_start", "NULL", "2020-01-01T00:00:00Z", "NULL")
}

func TestReferences(t *testing.T) {
	_, dst := rows(t, "Observation",
		`{"resourceType":"Observation","subject":{"reference":"Patient/1"},"performer":[{"reference":"urn:uuid:x-1"},{"display":"nobody"},{"reference":"https://h/fhir/Practitioner/2/_history/3"}]}`,
		`{"resourceType":"Observation","subject":{"reference":"#p"}}`)
	wantColumn(t, dst, observation0, "subject.__reference_type", "Patient", "NULL")
	wantColumn(t, dst, observation0, "subject.__reference_id", "1", "NULL")
	wantColumn(t, dst, observation0, "performer.__reference_type", "NULL", "NULL", "Practitioner", "NULL")
	wantColumn(t, dst, observation0, "performer.__reference_id", "x-1", "NULL", "2", "NULL")
}

func TestContained(t *testing.T) {
	out, dst := rows(t, "Observation",
		`{"resourceType":"Observation","contained":[{"resourceType":"Patient","id":"p","contained":[{"resourceType":"X","deep":[{}]}]},{"resourceType":"Unknown","n":1.50}]}`)
	wantColumn(t, dst, observation0, "contained",
		`{"resourceType":"Patient","id":"p","contained":[{"resourceType":"X","deep":[{}]}]}`, `{"resourceType":"Unknown","n":1.50}`)
	if out.Losses.Contained != 2 || out.Losses.Unmapped != 0 {
		t.Errorf("losses: %+v", out.Losses)
	}
}

// TestResourcesInside: entries of Bundles and parameters that are resources are
// kept as the text that they came as.
func TestResourcesInside(t *testing.T) {
	out, dst := rows(t, "Bundle",
		`{"resourceType":"Bundle","type":"batch","entry":[{"fullUrl":"u","resource":{"resourceType":"Patient", "id":"p","x":[{}]},"response":{"status":"200","outcome":{"resourceType":"OperationOutcome"}}},{"fullUrl":"v"}]}`)
	const bundle = "parquet/Bundle/part-00000.parquet"
	wantColumn(t, dst, bundle, "entry.resource", `{"resourceType":"Patient", "id":"p","x":[{}]}`, "NULL")
	wantColumn(t, dst, bundle, "entry.response.outcome", `{"resourceType":"OperationOutcome"}`, "NULL")
	if want := (sinks.Losses{Contained: 2}); out.Losses != want {
		t.Errorf("losses: got %+v, want %+v", out.Losses, want)
	}
	_, dst = rows(t, "Parameters", `{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","resource":{"resourceType":"Group","n":1.50}}]}]}`)
	wantColumn(t, dst, "parquet/Parameters/part-00000.parquet", "parameter.part.resource", `{"resourceType":"Group","n":1.50}`)
}

// TestUnmapped: what no column can reproduce stands in __unmapped and rebuilds.
func TestUnmapped(t *testing.T) {
	out, dst := rows(t, "Observation",
		`{"resourceType":"Observation","id":"a","unknown":{"a":[1,{"b":"\u0001\"\\"}]},"a/b~c":1}`,
		`{"resourceType":"Observation","status":5,"valueInteger":1.0,"subject":{},"category":[],"code":null}`,
		`{"resourceType":"Observation","status":"fin\ud800al","component":[{"valueInteger":1},{},{"extra":true},null]}`,
		`{"resourceType":"Observation","category":{"text":"single"},"status":["final"],"component":[{"valueInteger":2147483648},{"valueInteger":-0}]}`,
		`{"resourceType":"Observation","status":"final","valueInteger":-2147483648,"performer":[{"x":1},{"x":[]}],"_status":[null]}`)
	got := column(t, dst, observation0, "__unmapped")
	if want := `{"/unknown":"{\"a\":[1,{\"b\":\"\\u0001\\\"\\\\\"}]}","/a~1b~0c":"1"}`; got[0] != want {
		t.Errorf("__unmapped: got %s, want %s", got[0], want)
	}
	if out.Losses.Unmapped < 15 {
		t.Errorf("unmapped: %d", out.Losses.Unmapped)
	}
	wantColumn(t, dst, observation0, "valueInteger", "NULL", "NULL", "NULL", "NULL", "-2147483648")
}

// TestUnmappedIsAlwaysThere: the two columns of the row are in every schema, so
// that a query on them never fails.
func TestUnmappedIsAlwaysThere(t *testing.T) {
	_, dst := rows(t, "Basic", `{"resourceType":"Basic","id":"a"}`)
	r := open(t, dst, "parquet/Basic/part-00000.parquet")
	for _, name := range []string{columnUnmapped, columnRun} {
		if !hasColumn(r, name) {
			t.Errorf("no column %s", name)
		}
	}
}

// TestBase64: it is text, and comes back with its spaces and its padding.
func TestBase64(t *testing.T) {
	_, dst := rows(t, "Binary",
		`{"resourceType":"Binary","id":"a","contentType":"text/plain","data":"aGkgdGhl\ncmU = "}`,
		`{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"not base64!"}`)
	const path = "parquet/Binary/part-00000.parquet"
	wantColumn(t, dst, path, "data", "aGkgdGhl\ncmU = ", "not base64!")
	if want := "optional byte_array field_id=-1 data (String);"; !strings.Contains(schemaText(open(t, dst, path)), want) {
		t.Errorf("no %q in %s", want, schemaText(open(t, dst, path)))
	}
}

// TestDeepExtensions: extensions of extensions have columns of their own, as deep
// as they occur and no deeper.
func TestDeepExtensions(t *testing.T) {
	out, dst := rows(t, "Patient",
		`{"resourceType":"Patient","extension":[{"url":"a","extension":[{"url":"b","valueDecimal":1.50},{"url":"c","extension":[{"url":"d","valueReference":{"reference":"Group/7"}}]}]}]}`,
		`{"resourceType":"Patient","extension":[{"url":"e","valueCodeableConcept":{"coding":[{"code":"f"},{"code":"g"}]}}]}`)
	const path = "parquet/Patient/part-00000.parquet"
	wantColumn(t, dst, path, "extension.extension.__valueDecimal_numeric", "1500000", "NULL", "NULL")
	wantColumn(t, dst, path, "extension.extension.extension.valueReference.__reference_id", "NULL", "7", "NULL")
	wantColumn(t, dst, path, "extension.valueCodeableConcept.coding.code", "NULL", "f", "g")
	for _, name := range []string{"extension.extension.extension.extension.url", "extension.valueString"} {
		if hasColumn(open(t, dst, path), name) {
			t.Errorf("there is a column %s", name)
		}
	}
	if out.Losses != (sinks.Losses{}) {
		t.Errorf("losses: %+v", out.Losses)
	}
}

// TestNoEmptyStructs: objects and lists without a value make no column, which
// engines could not read, and are kept all the same.
func TestNoEmptyStructs(t *testing.T) {
	out, dst := rows(t, "Observation",
		`{"resourceType":"Observation","id":"a","subject":{},"category":[],"code":{"coding":[{}]},"_status":{},"component":[{"valueQuantity":{}}]}`)
	r := open(t, dst, observation0)
	for i := range r.MetaData().Schema.NumColumns() {
		switch name := r.MetaData().Schema.Column(i).Path(); name {
		case columnType, "id", columnUnmapped, columnRun:
		default:
			t.Errorf("there is a column %s", name)
		}
	}
	if out.Losses.Unmapped == 0 {
		t.Error("nothing is unmapped")
	}
}

func TestStrings(t *testing.T) {
	big := strings.Repeat("a long narrative ", 320_000) // 5 MB
	_, dst := rows(t, "Basic",
		`{"resourceType":"Basic","id":"nul\u0000nul","text":{"div":"`+big+`"}}`,
		`{"resourceType":"Basic","id":"é\u00e9\ud83d\ude00😀\n","text":{"div":""}}`,
		`{"resourceType":"Basic","id":"","text":{"div":"`+big+`x"}}`)
	wantColumn(t, dst, "parquet/Basic/part-00000.parquet", "id", "nul\x00nul", "éé😀😀\n", "")
}

// TestLimits: what goes beyond depth or width stands in __unmapped.
func TestLimits(t *testing.T) {
	deep := `{"url":"leaf","valueString":"x"}`
	for range 40 {
		deep = `{"url":"u","extension":[` + deep + `]}`
	}
	line := `{"resourceType":"Basic","id":"a","extension":[` + deep + `]}`
	for _, s := range []*Sink{{}, {MaxDepth: 2}, {MaxColumns: 3}} {
		in := newInput(t, "Basic", text(line, `{"resourceType":"Basic","id":"b","language":"en","meta":{"profile":["p"]}}`))
		out, _ := roundTrip(t, s, in)
		if out.Losses.Unmapped == 0 {
			t.Errorf("%+v: nothing is unmapped", s)
		}
	}
}

// TestPhysicalTypes: of all columns that the definitions know, down to the third
// level, none has a type that an engine does not read (INT96, unsigned numbers),
// and no group is empty.
func TestPhysicalTypes(t *testing.T) {
	for _, typ := range definition.Resources() {
		doc, err := Define(typ, 3)
		if err != nil {
			t.Fatal(err)
		}
		var wrong func(columns []Column)
		wrong = func(columns []Column) {
			for _, c := range columns {
				switch c.Type {
				case "string", "integer", "boolean", "timestamp", "decimal(32,6)":
				case "struct":
					if len(c.Columns) == 0 {
						t.Errorf("%s: %s is empty", typ, c.FHIRPath)
					}
					wrong(c.Columns)
				default:
					t.Errorf("%s: %s is a %q", typ, c.FHIRPath, c.Type)
				}
			}
		}
		wrong(doc.Columns)
		out, dst := roundTrip(t, &Sink{}, sinks.Input{Type: typ, Run: "r", Earlier: everyColumn(typ)})
		s := open(t, dst, out.Files[0].Path).MetaData().Schema
		for i := range s.NumColumns() {
			switch c := s.Column(i); c.PhysicalType().String() {
			case "BYTE_ARRAY", "INT32", "INT64", "BOOLEAN", "FIXED_LEN_BYTE_ARRAY":
				if strings.Contains(c.LogicalType().String(), "Unsigned") || strings.Contains(c.LogicalType().String(), "isSigned=false") {
					t.Errorf("%s: %s is unsigned", typ, c.Path())
				}
			default:
				t.Errorf("%s: %s is an %s", typ, c.Path(), c.PhysicalType())
			}
		}
	}
}

// everyColumn is the record of the columns that a type can have by its
// definition, down to the third level.
func everyColumn(typ string) []byte {
	var b strings.Builder
	b.WriteString(typ + "{")
	defineFields(&b, definition.Type(typ), 3, true)
	b.WriteString("}")
	return []byte(b.String())
}

// TestNoCollidingNames: no two columns of a struct of any type are equal when
// an engine lower-cases them.
func TestNoCollidingNames(t *testing.T) {
	seen := map[*definition.Struct]bool{}
	var walk func(s *definition.Struct)
	walk = func(s *definition.Struct) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		names := map[string]string{}
		add := func(name string) {
			if other, ok := names[strings.ToLower(name)]; ok {
				t.Errorf("%s: %s and %s", s.Name, other, name)
			}
			names[strings.ToLower(name)] = name
		}
		for i := range s.Fields {
			f := &s.Fields[i]
			add(f.Name)
			if f.Kind.Primitive() {
				add("_" + f.Name)
			}
			switch f.Kind {
			case definition.Decimal:
				add("__" + f.Name + "_numeric")
			case definition.Date, definition.DateTime, definition.Instant:
				add("__" + f.Name + "_start")
				add("__" + f.Name + "_end")
			}
			walk(f.Struct)
		}
		own := []string{"__reference_type", "__reference_id"}
		if definition.Type(s.Name) != nil {
			own = append(own, columnType, columnUnmapped, columnRun)
		}
		for _, name := range own {
			add(name)
		}
	}
	for _, typ := range definition.Resources() {
		walk(definition.Type(typ))
	}
	if len(seen) < 500 {
		t.Errorf("only %d structs", len(seen))
	}
}
