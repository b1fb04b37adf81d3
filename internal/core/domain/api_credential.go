package domain

import (
	"context"
	"fmt"

	"postroad/internal/base/clock"
	"postroad/internal/base/db"
	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

func (s *Service) credentialOps() []op.Op {
	const path = "/v3/domains/{domain_name}/credentials"
	const old = "/v3/{domain_name}/mailboxes"
	list, create := "List SMTP credentials", "Create SMTP credentials"
	update, remove := "Change the password of SMTP credentials", "Delete SMTP credentials"
	return []op.Op{
		op.New("GET", path, op.Credentials, op.Read, list, s.listCredentials),
		op.New("POST", path, op.Credentials, op.Write, create, s.createCredentials).
			WithDoc("Passwords that are not given are generated and are in this answer only."),
		op.New("PUT", path+"/{spec}", op.Credentials, op.Write, update, s.updateCredentials),
		op.New("DELETE", path+"/{spec}", op.Credentials, op.Write, remove, s.deleteCredential),
		op.New("DELETE", path, op.Credentials, op.Write, "Delete all SMTP credentials of a domain", s.deleteCredentials),
		op.New("GET", old, op.Credentials, op.Read, list, s.listCredentials).AsDeprecated(),
		op.New("POST", old, op.Credentials, op.Write, create, s.createCredentials).AsDeprecated(),
		op.New("PUT", old+"/{spec}", op.Credentials, op.Write, update, s.updateCredentials).AsDeprecated(),
		op.New("DELETE", old+"/{spec}", op.Credentials, op.Write, remove, s.deleteCredential).AsDeprecated(),
		op.New("PUT", "/v3/{domain_name}/credentials/{spec}", op.Credentials, op.Write, update, s.updateCredentials).AsDeprecated(),
	}
}

// offsetTime is the form of times of credentials.
const offsetTime = "Mon, 02 Jan 2006 15:04:05 -0700"

const passwordNote = "Please store your new password(s) now. You won't be able to see it anymore."

type credentialView struct {
	Mailbox   string `json:"mailbox" doc:"The login"`
	Login     string `json:"login" doc:"The login"`
	CreatedAt string `json:"created_at" doc:"RFC 1123 time with offset"`
	SizeBytes *int64 `json:"size_bytes" doc:"Always null"`
}

type listCredentialsIn struct {
	Domain string `path:"domain_name" doc:"Name of the domain"`
	Limit  int    `form:"limit" default:"100" doc:"Items to return, at most 1000"`
	Skip   int    `form:"skip" default:"0" doc:"Items to leave out at the beginning"`
}

type listCredentialsOut struct {
	Items      []credentialView `json:"items" doc:"The page, oldest first"`
	TotalCount int              `json:"total_count" doc:"Number of credentials of the domain"`
}

func (s *Service) listCredentials(ctx context.Context, in *listCredentialsIn) (*listCredentialsOut, error) {
	if err := checkPage(in.Skip, in.Limit); err != nil {
		return nil, err
	}
	d, err := s.owned(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	var list []*credential
	var total int
	err = s.db.Read(ctx, func(tx *db.Tx) (err error) {
		list, total, err = selectCredentials(tx, d.ID, in.Skip, in.Limit)
		return err
	})
	out := &listCredentialsOut{Items: make([]credentialView, len(list)), TotalCount: total}
	for i, c := range list {
		out.Items[i] = credentialView{Mailbox: c.login, Login: c.login, CreatedAt: clock.FromMicro(c.createdAt).Format(offsetTime)}
	}
	return out, err
}

type createCredentialsIn struct {
	Domain   string   `path:"domain_name" doc:"Name of the domain"`
	Login    []string `form:"login" doc:"Logins, with or without the domain"`
	Mailbox  []string `form:"mailbox" doc:"Another name for login"`
	Password []string `form:"password" doc:"Passwords of the logins in the same order, 5 to 32 characters; generated where absent"`
	System   bool     `form:"system" doc:"Whether these are system mailboxes, which are not deleted one by one"`
}

type credentialsOut struct {
	Message     string            `json:"message"`
	Note        string            `json:"note,omitempty" doc:"Reminder to keep generated passwords"`
	Credentials map[string]string `json:"credentials,omitempty" doc:"Generated passwords by login"`
}

func generatedOut(message string, generated map[string]string) *credentialsOut {
	out := &credentialsOut{Message: message, Credentials: generated}
	if len(generated) > 0 {
		out.Note = passwordNote
	}
	return out
}

// maxLogins bounds the logins of one request: each costs a slow hash.
const maxLogins = 100

func (s *Service) createCredentials(ctx context.Context, in *createCredentialsIn) (*credentialsOut, error) {
	d, err := s.owned(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	logins := in.Login
	if len(logins) == 0 {
		logins = in.Mailbox
	}
	if len(logins) == 0 || logins[0] == "" {
		return nil, errs.New(errs.Invalid, "Parameter 'login' is missing")
	}
	if len(logins) > maxLogins {
		return nil, errs.New(errs.Invalid, "At most %d logins can be created at a time", maxLogins)
	}
	generated, err := s.SetCredentials(ctx, d, logins, in.Password, in.System, false)
	if err != nil {
		return nil, err
	}
	return generatedOut(fmt.Sprintf("Created %d credentials pair(s)", len(logins)), generated), nil
}

type updateCredentialsIn struct {
	Domain   string `path:"domain_name" doc:"Name of the domain"`
	Spec     string `path:"spec" doc:"The login, with or without the domain"`
	Password string `form:"password" doc:"New password, 5 to 32 characters; generated if absent"`
}

func (s *Service) updateCredentials(ctx context.Context, in *updateCredentialsIn) (*credentialsOut, error) {
	d, err := s.owned(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	generated, err := s.SetCredentials(ctx, d, []string{in.Spec}, []string{in.Password}, false, true)
	if err != nil {
		return nil, err
	}
	return generatedOut("Password changed", generated), nil
}

type specIn struct {
	Domain string `path:"domain_name" doc:"Name of the domain"`
	Spec   string `path:"spec" doc:"The login, with or without the domain"`
}

type deleteCredentialOut struct {
	Message string `json:"message"`
	Spec    string `json:"spec" doc:"The full login"`
}

func (s *Service) deleteCredential(ctx context.Context, in *specIn) (*deleteCredentialOut, error) {
	d, err := s.owned(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	login, err := s.DeleteCredential(ctx, d, in.Spec)
	if err != nil {
		return nil, err
	}
	return &deleteCredentialOut{Message: "Credentials have been deleted", Spec: login}, nil
}

type credentialsIn struct {
	Domain string `path:"domain_name" doc:"Name of the domain"`
}

type deleteCredentialsOut struct {
	Message string `json:"message"`
	Count   int64  `json:"count" doc:"Number of credentials deleted"`
}

func (s *Service) deleteCredentials(ctx context.Context, in *credentialsIn) (*deleteCredentialsOut, error) {
	d, err := s.owned(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	n, err := s.DeleteCredentials(ctx, d)
	if err != nil {
		return nil, err
	}
	return &deleteCredentialsOut{Message: "All domain credentials have been deleted", Count: n}, nil
}
