package pipeline

import "context"

// Authorizer gets the run its first token and says what came with it. The
// command line implements it with package smart.
type Authorizer interface {
	// Authorize asks for a token with the scopes and reports those granted
	// (nil: the server did not say) and those missing by meaning (P16).
	Authorize(ctx context.Context) (Grant, error)
	// Tokens is how many access tokens were received so far.
	Tokens() int64
}

// Renewer is an Authorizer that compares the tokens that follow the first one, too.
type Renewer interface {
	// Lost is what tokens of this process did not grant: scopes that were asked for,
	// and types among the job's that cannot be read, the first token's included.
	Lost() (scopes, types []string)
}

// Grant is what the authorization server gave.
type Grant struct {
	Requested []string
	Granted   []string
	Missing   []string // requested scopes that were not granted
	Types     []string // resource types among the job's that cannot be read
	NoBinary  bool     // the job fetches attachments, and Binary cannot be read
}
