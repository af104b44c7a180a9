package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"app/internal/signups"
)

const mostBytes = 64 << 10 // of a body

// problem is an error that the client is told: a small JSON object that quotes nothing.
type problem struct {
	status int
	text   string // empty: the status's own
	header http.Header
}

func (p problem) Error() string {
	if p.text == "" {
		return strings.ToLower(http.StatusText(p.status))
	}
	return p.text
}

// goodbye ends the connection too: what is left of the body on it is not worth reading.
func goodbye(status int, text string) problem {
	return problem{status, text, http.Header{"Connection": {"close"}}}
}

func refuse(w http.ResponseWriter, why problem) {
	for name, values := range why.header {
		if len(values) > 0 {
			w.Header()[name] = values
		}
	}
	_ = answer(w, why.status, map[string]string{"error": why.Error()}) // a client that left is no error
}

func answer(w http.ResponseWriter, status int, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encoded)
	return nil
}

// newSignup reads a body and checks it.
func newSignup(w http.ResponseWriter, r *http.Request) (signups.New, error) {
	wanted := signups.New{Plan: "free"}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return wanted, problem{status: http.StatusUnsupportedMediaType}
	}
	body, err := readBody(w, r)
	if err != nil {
		return wanted, err
	}
	// Into a map first: names are taken exactly as they are, and nothing unknown is passed over.
	var fields map[string]json.RawMessage
	var other *json.UnmarshalTypeError
	switch err := json.Unmarshal(body, &fields); {
	case errors.As(err, &other) || err == nil && fields == nil:
		return wanted, problem{status: http.StatusUnprocessableEntity, text: "invalid body"}
	case err != nil || !utf8.Valid(body):
		return wanted, problem{status: http.StatusBadRequest, text: "malformed JSON"}
	}
	for name, value := range fields {
		into := map[string]*string{"email": &wanted.Email, "plan": &wanted.Plan}[name]
		if into == nil {
			return wanted, problem{status: http.StatusUnprocessableEntity, text: "invalid body"}
		}
		if *into = ""; json.Unmarshal(value, into) != nil {
			*into = "" // not a text: invalid, as an empty one is
		}
	}
	if names := wanted.Invalid(); len(names) > 0 {
		return wanted, problem{status: http.StatusUnprocessableEntity, text: "invalid " + strings.Join(names, " and ")}
	}
	return wanted, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > mostBytes {
		return nil, goodbye(http.StatusRequestEntityTooLarge, "")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes))
	var large *http.MaxBytesError
	var late net.Error
	switch {
	case errors.As(err, &large):
		return nil, goodbye(http.StatusRequestEntityTooLarge, "")
	case errors.As(err, &late) && late.Timeout():
		return nil, goodbye(http.StatusRequestTimeout, "")
	case err != nil:
		return nil, goodbye(http.StatusBadRequest, "the body cannot be read")
	}
	return body, nil
}
