package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// input is what the table is made of.
type input struct {
	profiles    []profile
	params      []param
	compartment []member
}

// profile is a StructureDefinition.
type profile struct {
	ResourceType string `json:"resourceType"`
	Name         string `json:"name"`
	Kind         string `json:"kind"`
	Abstract     bool   `json:"abstract"`
	Derivation   string `json:"derivation"`
	Base         string `json:"baseDefinition"`
	Snapshot     struct {
		Element []element `json:"element"`
	} `json:"snapshot"`
}

// element is an ElementDefinition.
type element struct {
	Path             string `json:"path"`
	Short            string `json:"short"`
	Min              int    `json:"min"`
	Max              string `json:"max"`
	ContentReference string `json:"contentReference"`
	Type             []struct {
		Code      string `json:"code"`
		Extension []struct {
			URL      string `json:"url"`
			ValueURL string `json:"valueUrl"`
		} `json:"extension"`
	} `json:"type"`
	Base struct {
		Path string `json:"path"`
	} `json:"base"`
}

// param is a SearchParameter.
type param struct {
	Code       string   `json:"code"`
	Base       []string `json:"base"`
	Type       string   `json:"type"`
	Expression string   `json:"expression"`
	Target     []string `json:"target"`
}

// member is a resource type of a CompartmentDefinition.
type member struct {
	Code  string   `json:"code"`
	Param []string `json:"param"`
}

func read(dir string) (in input, err error) {
	for _, file := range []string{"profiles-types.json", "profiles-resources.json"} {
		all, err := entries[profile](filepath.Join(dir, file))
		if err != nil {
			return in, err
		}
		for _, p := range all {
			if p.ResourceType == "StructureDefinition" {
				in.profiles = append(in.profiles, p)
			}
		}
	}
	if in.params, err = entries[param](filepath.Join(dir, "search-parameters.json")); err != nil {
		return in, err
	}
	var compartment struct {
		Code     string   `json:"code"`
		Resource []member `json:"resource"`
	}
	if err := decode(filepath.Join(dir, "compartmentdefinition-patient.json"), &compartment); err != nil {
		return in, err
	}
	if compartment.Code != "Patient" {
		return in, fmt.Errorf("compartment of %q, want Patient", compartment.Code)
	}
	in.compartment = compartment.Resource
	return in, nil
}

// entries returns the resources of a Bundle.
func entries[T any](path string) ([]T, error) {
	var bundle struct {
		Entry []struct {
			Resource T `json:"resource"`
		} `json:"entry"`
	}
	if err := decode(path, &bundle); err != nil {
		return nil, err
	}
	all := make([]T, len(bundle.Entry))
	for i, e := range bundle.Entry {
		all[i] = e.Resource
	}
	return all, nil
}

func decode(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}
