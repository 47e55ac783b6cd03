package tenant

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// ErrDecided means that a device code was approved or declined before.
var ErrDecided = errors.New("tenant: the device code was decided on before")

// ErrNoDeviceCode means that a text cannot be the code that a client shows.
var ErrNoDeviceCode = fmt.Errorf("%w: no device code", ErrNotFound)

// DeviceLifetime is how long a device code is good.
const DeviceLifetime = 15 * time.Minute

// A DeviceCode lets a client wait until somebody has approved that it signs a user in
// (RFC 8628).
type DeviceCode struct {
	Code     string // what the client shows
	UserCode string // what the user, or an administrator, types
}

// deviceClaims are what a device code says; it is sealed, and the client keeps it. So a
// client that nobody approved has cost the store nothing.
type deviceClaims struct {
	UserCode string     `json:"code"`
	Client   string     `json:"client"`
	Expires  int64      `json:"exp"` // Unix seconds
	Asked    remembered `json:"asked"`
}

// deviceRecord is what was decided, by user code.
type deviceRecord struct {
	Name     string `json:"upn,omitempty"` // of the user
	ObjectID string `json:"oid,omitempty"`
	Declined bool   `json:"declined,omitempty"`
	Spent    bool   `json:"spent,omitempty"`
	Expires  int64  `json:"exp"` // Unix seconds
}

func (s *Service) devicePlace() seal.Place {
	return seal.Place{Purpose: seal.PurposeDevice, Kind: kindUser, Name: s.tenantID, Object: "device", Format: format}
}

const devicePrefix store.Key = "t/device/"

func deviceKey(userCode string) store.Key { return devicePrefix + store.Key(userCode) }

// A user code has letters that are not taken for others, and make no words (RFC 8628, 6.1).
// The last one is computed from the others, so that a mistyped code is found out.
const (
	codeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	codeSize    = 10
)

func newUserCode() (string, error) {
	out := make([]byte, 0, codeSize)
	for len(out) < codeSize-1 {
		one := [1]byte{}
		if _, err := rand.Read(one[:]); err != nil {
			return "", err
		}
		if n := int(one[0]); n < 256/len(codeLetters)*len(codeLetters) {
			out = append(out, codeLetters[n%len(codeLetters)])
		}
	}
	return string(append(out, checkLetter(string(out)))), nil
}

func checkLetter(code string) byte {
	sum := 0
	for i := range len(code) {
		sum += (i + 1) * (strings.IndexByte(codeLetters, code[i]) + 1)
	}
	return codeLetters[sum%len(codeLetters)]
}

// userCode reads what somebody typed.
func userCode(text string) (string, bool) {
	code := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(text))
	if len(code) != codeSize || strings.Trim(code, codeLetters) != "" || checkLetter(code[:codeSize-1]) != code[codeSize-1] {
		return "", false
	}
	return code, true
}

// StartDevice returns a code for a client that wants to sign a user in. The error is an
// *Error for a request that is refused.
func (s *Service) StartDevice(ctx context.Context, r TokenRequest) (DeviceCode, error) {
	client, err := s.checkDeviceClient(ctx, r)
	if err != nil {
		return DeviceCode{}, err
	}
	asked := remembered{r.Scope, r.Resource}
	if _, _, err := s.userResource(asked); err != nil {
		return DeviceCode{}, err
	}
	code, err := newUserCode()
	if err != nil {
		return DeviceCode{}, err
	}
	text, err := s.sealText(s.devicePlace(), deviceClaims{UserCode: code, Client: client, Expires: s.config.Now().Add(DeviceLifetime).Unix(), Asked: asked})
	return DeviceCode{Code: text, UserCode: code}, err
}

// checkDeviceClient only looks whether there is such a client: it authenticates when it
// asks for the token.
func (s *Service) checkDeviceClient(ctx context.Context, r TokenRequest) (string, error) {
	id, _ := guid(r.ClientID)
	_, _, err := s.application(ctx, id)
	if !errors.Is(err, ErrNotFound) {
		return id, err
	}
	for _, known := range familyClients {
		if id == known {
			return id, nil
		}
	}
	return "", s.unknown(r.ClientID, "")
}

// checkDevice returns the user for whom a device code was approved.
func (s *Service) checkDevice(ctx context.Context, client, text string) (p person, err error) {
	claims, err := s.openDevice(text)
	switch {
	case err != nil:
		return p, err
	case claims.Client != client:
		return p, refuse("invalid_grant", NumberInvalidGrant, "The provided device code was issued to another client.")
	case s.config.Now().Unix() >= claims.Expires:
		return p, refuse("expired_token", NumberCodeExpired, "The device code has expired. Begin anew.")
	}
	p.since, p.asked = s.config.Now(), claims.Asked
	decided := deviceRecord{Name: s.config.DeviceUser}
	if decided.Name == "" {
		if decided, _, err = s.decidedDevice(ctx, claims.UserCode); err != nil {
			return p, err
		}
	}
	switch {
	case decided.Declined:
		return p, refuse("authorization_declined", NumberDeclined, "The sign-in was declined.")
	case decided.Name == "":
		return p, refuse("authorization_pending", NumberPending, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
	case decided.Spent:
		return p, refuse("invalid_grant", NumberInvalidGrant, "The device code was used before.")
	}
	if p.record, err = s.userNamed(ctx, decided.Name); err != nil {
		return p, err
	}
	if p.record.Name == "" || decided.ObjectID != "" && p.record.ObjectID != decided.ObjectID {
		return person{}, refuse("invalid_grant", NumberInvalidGrant, "The user of the provided grant does not exist any more.")
	}
	return p, nil
}

func (s *Service) openDevice(text string) (claims deviceClaims, err error) {
	if text == "" {
		return claims, refuse("invalid_request", NumberMissingParameter, "The request body must contain the following parameter: 'device_code'.")
	}
	if err = s.openText(s.devicePlace(), text, &claims); errors.Is(err, ErrNotFound) {
		err = refuse("invalid_grant", NumberInvalidGrant, "The device code is malformed, or of another server.")
	}
	return claims, err
}

// decidedDevice reads what was decided; the zero record: nothing yet.
func (s *Service) decidedDevice(ctx context.Context, code string) (decided deviceRecord, rec store.Record, err error) {
	recs, err := s.config.Store.Get(ctx, store.Ask{Key: deviceKey(code)})
	if err != nil {
		return decided, rec, err
	}
	if recs[0].Exists() {
		err = s.open(recs[0], place(kindDevice, code), &decided)
	}
	if s.config.Now().Unix() >= decided.Expires { // of an earlier code that happened to be the same
		decided = deviceRecord{}
	}
	return decided, recs[0], err
}

// spendDevice sees to it that an approval gives one token.
func (s *Service) spendDevice(ctx context.Context, text string) error {
	if s.config.DeviceUser != "" {
		return nil
	}
	claims, err := s.openDevice(text)
	if err != nil {
		return err
	}
	used := refuse("invalid_grant", NumberInvalidGrant, "The device code was used before.")
	err = s.system(ctx, "DeviceCodeSpend", "", func(g seal.Grant) error {
		decided, rec, err := s.decidedDevice(ctx, claims.UserCode)
		if err != nil {
			return err
		}
		if decided.Spent || decided.Name == "" {
			return used
		}
		decided.Spent = true
		box, err := s.seal(g, place(kindDevice, claims.UserCode), decided)
		if err != nil {
			return err
		}
		return s.commit(ctx, change{rec, box})
	})
	if errors.Is(err, store.ErrChanged) {
		return used
	}
	return err
}

// ApproveDeviceCode lets the client that shows a user code sign a user in, by name; empty:
// the caller, who is a user then. Only administrators of the directory may. The error is
// ErrNoDeviceCode for a code that cannot be, ErrNotFound for a user that does not exist,
// and ErrDecided for a code that was decided on before.
func (s *Service) ApproveDeviceCode(ctx context.Context, caller access.Caller, code, user string) error {
	return s.decideDevice(ctx, caller, "DeviceCodeApprove", code, func() (deviceRecord, error) {
		record, err := s.userNamed(ctx, user)
		if user == "" {
			record, err = s.userWithID(ctx, caller.ObjectID)
		}
		if err == nil && record.Name == "" {
			err = ErrNotFound
		}
		return deviceRecord{Name: record.Name, ObjectID: record.ObjectID}, err
	})
}

// DeclineDeviceCode refuses the client that shows a user code. Errors are those of
// ApproveDeviceCode.
func (s *Service) DeclineDeviceCode(ctx context.Context, caller access.Caller, code string) error {
	return s.decideDevice(ctx, caller, "DeviceCodeDecline", code, func() (deviceRecord, error) { return deviceRecord{Declined: true}, nil })
}

func (s *Service) userWithID(ctx context.Context, oid string) (found userRecord, err error) {
	d, err := s.directory(ctx)
	if err != nil {
		return found, err
	}
	for _, u := range d.users {
		if strings.EqualFold(u.value.ObjectID, oid) {
			found = u.value
		}
	}
	return found, nil
}

// decideDevice writes a decision, unless there is one, and removes those that have expired.
func (s *Service) decideDevice(ctx context.Context, caller access.Caller, name, code string, decide func() (deviceRecord, error)) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	return explain(s.config.Gate.Write(ctx, directoryRequest(known, name, "deviceCodes/decide", "", access.Directory{}), func(g seal.Grant) error {
		typed, ok := userCode(code)
		if !ok {
			return ErrNoDeviceCode
		}
		decided, err := decide()
		if err != nil {
			return err
		}
		decided.Expires = s.config.Now().Add(DeviceLifetime).Unix()
		return s.putDevice(ctx, g, typed, decided)
	}))
}

func (s *Service) putDevice(ctx context.Context, g seal.Grant, code string, decided deviceRecord) error {
	was, rec, err := s.decidedDevice(ctx, code)
	if err != nil {
		return err
	}
	if was.Expires != 0 {
		return ErrDecided
	}
	rec.Key = deviceKey(code)
	box, err := s.seal(g, place(kindDevice, code), decided)
	if err != nil {
		return err
	}
	changes := []change{{rec, box}}
	var all []store.Record
	if err := s.config.Store.View(ctx, func(tx store.Tx) (err error) {
		all, err = scan(tx, devicePrefix)
		return err
	}); err != nil {
		return err
	}
	for _, old := range all {
		var r deviceRecord
		if err := s.open(old, place(kindDevice, strings.TrimPrefix(string(old.Key), string(devicePrefix))), &r); err != nil {
			return err
		}
		if old.Key != rec.Key && s.config.Now().Unix() >= r.Expires {
			changes = append(changes, change{was: old})
		}
	}
	return s.commit(ctx, changes...)
}

// DeviceUser is the name of the user for whom every device code is approved; empty: none.
func (s *Service) DeviceUser() string { return s.config.DeviceUser }
