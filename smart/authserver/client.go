package authserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Client is a registration. At least one of JWKS, JWKSFile, JWKSURL and Secret is
// set.
type Client struct {
	ID string
	// JWKS is a public key set, registered inline.
	JWKS []byte
	// JWKSFile is a file with a public key set, read again when it changes. It
	// need not exist yet.
	JWKSFile string
	// JWKSURL is fetched when an assertion names an unknown kid, at most once in ten
	// seconds, and after five minutes. An assertion's jku must equal it.
	JWKSURL string
	// Scopes that the client may have; nil means the Server's.
	Scopes []string
	// Secret lets the client authenticate with HTTP Basic or in the form, as servers
	// without SMART do.
	Secret string
}

// client is a registered Client with the keys that are known of it now.
type client struct {
	Client

	mu      sync.Mutex // held over the fetch of a JWKS URL: assertions of one client wait for it
	keys    map[string]jose.JSONWebKey
	info    fs.FileInfo
	fetched time.Time
}

// Register adds a client, or replaces the one with that id. A key set that is not
// public, has a kid missing or twice, or holds no usable key is refused.
func (s *Server) Register(c Client) error {
	if c.ID == "" {
		return errors.New("register client: it has no id")
	}
	if c.JWKS == nil && c.JWKSFile == "" && c.JWKSURL == "" && c.Secret == "" {
		return errors.New("register client: it has no key set and no secret")
	}
	for _, scope := range c.Scopes {
		if _, err := parseScope(scope); err != nil {
			return fmt.Errorf("register client: %w", err)
		}
	}
	reg := &client{Client: c}
	if c.JWKS != nil {
		keys, err := parseJWKS(c.JWKS)
		if err != nil {
			return fmt.Errorf("register client: %w", err)
		}
		reg.keys = keys
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == nil {
		s.clients = map[string]*client{}
	}
	s.clients[c.ID] = reg
	return nil
}

func (s *Server) client(id string) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[id]
}

const (
	maxJWKS      = 1 << 20
	keysKept     = 5 * time.Minute
	refetchAfter = 10 * time.Second
)

// key finds the public key with this kid, looking for a changed set where it may.
func (c *client) key(ctx context.Context, http *http.Client, now time.Time, kid string) (jose.JSONWebKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reload(ctx, http, now, kid); err != nil {
		return jose.JSONWebKey{}, err
	}
	key, ok := c.keys[kid]
	if !ok {
		return jose.JSONWebKey{}, errors.New("no registered key has the assertion's kid")
	}
	return key, nil
}

func (c *client) reload(ctx context.Context, http *http.Client, now time.Time, kid string) (failed error) {
	var data []byte
	var err error
	switch {
	case c.JWKSFile != "":
		var info fs.FileInfo
		if info, err = os.Stat(c.JWKSFile); err == nil {
			if c.info != nil && os.SameFile(info, c.info) && info.ModTime().Equal(c.info.ModTime()) && info.Size() == c.info.Size() {
				return nil
			}
			data, err = os.ReadFile(c.JWKSFile)
		}
		if err != nil {
			return errors.New("the registered key set file cannot be read")
		}
		defer func() {
			if failed == nil {
				c.info = info
			}
		}()
	case c.JWKSURL != "":
		age := now.Sub(c.fetched)
		if _, known := c.keys[kid]; age < refetchAfter || known && age < keysKept {
			return nil
		}
		c.fetched = now
		if data, err = fetch(ctx, http, c.JWKSURL); err != nil {
			return errors.New("the registered JWKS URL cannot be read")
		}
	default:
		return nil
	}
	keys, err := parseJWKS(data)
	if err != nil {
		return fmt.Errorf("the registered key set: %w", err)
	}
	c.keys = keys
	return nil
}

func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
}

// parseJWKS reads a public key set by kid.
func parseJWKS(data []byte) (map[string]jose.JSONWebKey, error) {
	if len(data) > maxJWKS {
		return nil, errors.New("it is too large")
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil || set.Keys == nil {
		return nil, errors.New("it is not a JWK Set")
	}
	keys := map[string]jose.JSONWebKey{}
	for i, raw := range set.Keys {
		key, err := parseJWK(raw)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if key.Key == nil {
			continue
		}
		if _, twice := keys[key.KeyID]; twice {
			return nil, fmt.Errorf("key %d: its kid occurs twice", i+1)
		}
		keys[key.KeyID] = key
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no public RSA or EC key for signatures")
	}
	return keys, nil
}

// parseJWK reads one public key; the Key of one that cannot verify assertions is nil.
func parseJWK(raw []byte) (jose.JSONWebKey, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return jose.JSONWebKey{}, errors.New("it is not a JSON object")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, found := members[private]; found {
			return jose.JSONWebKey{}, errors.New("it has private members: register the public key only")
		}
	}
	var key jose.JSONWebKey
	err := json.Unmarshal(raw, &key)
	if errors.Is(err, jose.ErrUnsupportedKeyType) {
		return jose.JSONWebKey{}, nil // RFC 7517 section 5: ignored
	}
	if err != nil {
		return jose.JSONWebKey{}, errors.New("its members do not make a key")
	}
	if key.KeyID == "" {
		return jose.JSONWebKey{}, errors.New("it has no kid")
	}
	switch pub := key.Key.(type) {
	case *rsa.PublicKey:
		if pub.N.BitLen() < 2048 {
			return jose.JSONWebKey{}, errors.New("an RSA key has at least 2048 bits")
		}
	case *ecdsa.PublicKey:
	default:
		return jose.JSONWebKey{}, nil
	}
	var ops []string
	if data, found := members["key_ops"]; found && json.Unmarshal(data, &ops) != nil {
		return jose.JSONWebKey{}, errors.New("its key_ops are not a list")
	}
	if key.Use != "" && key.Use != "sig" || ops != nil && !slices.Contains(ops, "verify") {
		return jose.JSONWebKey{}, nil
	}
	return key, nil
}
