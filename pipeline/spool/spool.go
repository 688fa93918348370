// Package spool keeps landed parts on the local disk: whole and checked, or not
// there, and resumable at the byte where a body broke.
package spool

// Spool is a folder of landed parts.
type Spool struct{}
