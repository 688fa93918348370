// Package archtest holds the tests that keep the packages apart: the import
// table of docs/ARCHITECTURE.md, and that every package says what it is for. It
// has no other code.
package archtest
