// Command flue exports data from FHIR servers; see flue help.
package main

import "github.com/flue-fhir/flue/cmd/internal/cli"

func main() { cli.Main() }
