package smart

import (
	"crypto/rsa"
	"encoding/json"
	"testing"
)

// The private RSA key of RFC 7517 appendix A.2, whose public half is the example of RFC 7638.
const rfc7517Key = `{"kty":"RSA",
	"n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
	"e":"AQAB",
	"d":"X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4jfcKoAC8Q",
	"p":"83i-7IvMGXoMXCskv73TKr8637FiO7Z27zv8oj6pbWUQyLPQBQxtPVnwD20R-60eTDmD2ujnMt5PoqMrm8RfmNhVWDtjjMmCMjOpSXicFHj7XOuVIYQyqVWlWEh6dN36GVZYk93N8Bc9vY41xy8B9RzzOGVQzXvNEvn7O0nVbfs",
	"q":"3dfOR9cuYq-0S-mkFLzgItgMEfFzB2q3hWehMuG0oCuqnb3vobLyumqjVZQO1dIrdwgTnCdpYzBcOfW5r370AFXjiWft_NGEiovonizhKpo9VVS78TzFgxkIdrecRezsZ-1kYd_s1qDbxtkDEgfAITAG9LUnADun4vIcb6yelxk",
	"kid":"2011-04-29"}`

// The private EC key of the same appendix, with the use of signatures.
const rfc7517EC = `{"kty":"EC","crv":"P-256",
	"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
	"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
	"d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
	"kid":"1"}`

// The example of RFC 7638 section 3.1.
func TestThumbprintOfRFC7638(t *testing.T) {
	key, err := ParseKey([]byte(rfc7517Key), "")
	if err != nil {
		t.Fatal(err)
	}
	const want = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	if got := key.PublicJWK().Thumbprint(); got != want {
		t.Errorf("of the key: got %s, want %s", got, want)
	}
	set, err := ParseJWKS(must(json.Marshal(Keys{key}.JWKS())))
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Keys[0].Thumbprint(); got != want {
		t.Errorf("of the set: got %s, want %s", got, want)
	}
	// Without a kid of its own it is the kid.
	unnamed, err := NewKey(key.signer, "", "")
	if err != nil || unnamed.ID() != want {
		t.Errorf("kid: got %v, %v", unnamed, err)
	}
}

func TestKeysOfRFC7517(t *testing.T) {
	key, err := ParseKey([]byte(rfc7517Key), "")
	if err != nil || key.ID() != "2011-04-29" || key.Algorithm() != RS384 || key.Public().(*rsa.PublicKey).E != 65537 {
		t.Errorf("RSA: got %v, %v", key, err)
	}
	key, err = ParseKey([]byte(rfc7517EC), "")
	if err != nil || key.ID() != "1" || key.Algorithm() != "ES256" {
		t.Errorf("EC: got %v, %v", key, err)
	}
}
