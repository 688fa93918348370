// Package smart authenticates a program to a FHIR server with SMART Backend
// Services: it holds an asymmetric key, discovers the token endpoint, signs a
// client assertion, asks for an access token and puts it on requests, again
// and again for as long as the program runs, without a person.
//
// The shape is that of golang.org/x/oauth2. A [Client] is a [TokenSource]:
// its Token method returns a cached token while that is good and asks for a new
// one otherwise. A [Transport] is an [net/http.RoundTripper] that puts the token
// on requests to the FHIR server, and only there, and that renews it when
// the server answers 401.
//
//	key, err := smart.LoadKeyFile("private_key.pem", "")
//	…
//	client := &smart.Client{
//		Base:     "https://ehr.example.org/fhir/r4",
//		ClientID: "my-client",
//		Keys:     key,
//		Scopes:   smart.ForTypes([]string{"Patient", "Observation"}, "system", smart.ScopeOptions{V2: true}),
//	}
//	base, _ := url.Parse(client.Base)
//	fhir := &http.Client{Transport: &smart.Transport{Source: client, Server: base}}
//	resp, err := fhir.Get("https://ehr.example.org/fhir/r4/Patient?_count=10")
//
// # Keys
//
// [GenerateRSAKeyPair] (RS384), [GenerateECKeyPair] (ES384) and
// [GenerateKeyPair] make a [Key]; [ParseKey], [ParseKeys] and [LoadKeyFile] read
// one from PEM, JWK or JWKS; [NewKey] takes any crypto.Signer, so that a key
// may live in a KMS or an HSM. [Key.PublicJWK] and [Keys.JWKS] are what is
// registered: those types have no field for a private member. A
// [JWKSHandler] serves the set for registration by URL. [Keys.Rotate] replaces
// a key without a gap, and [Keys.Hurry] ends that early. A [KeyFile] is read again when it changes, so that a
// running program signs with the successor.
//
// # Tokens
//
// A Client keeps tokens in memory only. However many goroutines ask, one
// request is under way at a time, no lock is held meanwhile, and a caller that
// gives up does not take the others with it. Each attempt carries an assertion
// of its own, since servers refuse a jti that they have seen. Servers that know no
// assertions are reached with a client secret (Client.Secret), with a [StaticToken]
// or with a Transport that has no Source.
//
// # Scopes
//
// [ForTypes] derives the scopes, [Missing] compares what was granted with what
// was asked for by meaning, and [Unreadable] says which resource types a grant
// leaves out.
//
// # Errors and secrets
//
// What fails is an [*Error] with the operation, the status and the OAuth error
// code. Its Hint says what to do next; its Class is "auth" when a person must
// mend something and empty when the failure may pass by itself. Tokens,
// assertions, client secrets and private keys are never part of an error or a log
// line; the types that hold them print as "[secret]".
//
// Sources: SMART App Launch 2.2.0 (Backend Services, Client Authentication:
// Asymmetric, Conformance), RFC 6749, 7515, 7517, 7518, 7519, 7523, 7638.
package smart
