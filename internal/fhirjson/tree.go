package fhirjson

// Tree is the set of elements seen in the resources of one type: its leaf
// columns.
type Tree struct {
	Type  string
	Nodes []*Node // by ID; Nodes[0] is the root
}

type nodeState struct{}
