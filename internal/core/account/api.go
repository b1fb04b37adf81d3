package account

import (
	"context"

	"postroad/internal/base/clock"
	"postroad/internal/base/op"
)

// Ops returns the operations of keys and of the webhook signing key.
func (s *Service) Ops() []op.Op {
	return []op.Op{
		op.New("GET", "/v1/keys", op.Keys, op.Read, "List API keys", s.listKeys),
		op.New("POST", "/v1/keys", op.Keys, op.Write, "Create an API key", s.createKey).
			WithDoc("The secret is in this answer and never shown again. The role of a key cannot be changed."),
		op.New("DELETE", "/v1/keys/{key_id}", op.Keys, op.Write, "Delete an API key", s.deleteKey),
		op.New("POST", "/v1/keys/public", op.Keys, op.Write, "Regenerate the public validation key", s.regeneratePublic),
		op.New("GET", "/v5/accounts/http_signing_key", op.Keys, op.Read, "Get the webhook signing key", s.getSigning),
		op.New("POST", "/v5/accounts/http_signing_key", op.Keys, op.Write, "Regenerate the webhook signing key", s.rotateSigning).
			WithDoc("Everything signed from now on is signed with the new key."),
	}
}

// keyTime is the form of times of keys. Mailgun: ISO 8601 without zone, UTC.
const keyTime = "2006-01-02T15:04:05"

type keyView struct {
	ID          string  `json:"id" doc:"Identifier of the key"`
	Description string  `json:"description" doc:"Description given when it was made"`
	Kind        string  `json:"kind" doc:"domain, user or web"`
	Role        string  `json:"role" doc:"What the key may do"`
	CreatedAt   string  `json:"created_at" doc:"UTC, 2006-01-02T15:04:05"`
	UpdatedAt   string  `json:"updated_at" doc:"UTC, 2006-01-02T15:04:05"`
	ExpiresAt   string  `json:"expires_at,omitempty" doc:"UTC, 2006-01-02T15:04:05; absent if never"`
	IsDisabled  bool    `json:"is_disabled" doc:"Whether the key is refused"`
	DomainName  *string `json:"domain_name" doc:"Domain of a domain sending key"`
	Requestor   *string `json:"requestor" doc:"Email address given when it was made"`
	UserName    *string `json:"user_name" doc:"Name of the user given when it was made"`
	Secret      string  `json:"secret,omitempty" doc:"The key itself; only in the answer that creates it"`
}

func view(k *Key) keyView {
	v := keyView{
		ID: k.ID, Description: k.Description, Kind: k.Kind, Role: k.Role, IsDisabled: k.Disabled,
		CreatedAt: formatTime(k.CreatedAt), UpdatedAt: formatTime(k.UpdatedAt),
		DomainName: orNull(k.Domain), Requestor: orNull(k.Requestor), UserName: orNull(k.UserName),
	}
	if k.ExpiresAt != 0 {
		v.ExpiresAt = formatTime(k.ExpiresAt)
	}
	return v
}

func formatTime(us int64) string { return clock.FromMicro(us).Format(keyTime) }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type listKeysIn struct {
	DomainName string `form:"domain_name" doc:"Only keys of this domain"`
	Kind       string `form:"kind" doc:"Only keys of this kind: domain, user or web"`
}

type listKeysOut struct {
	TotalCount int       `json:"total_count" doc:"Number of items"`
	Items      []keyView `json:"items" doc:"The keys, oldest first"`
}

func (s *Service) listKeys(ctx context.Context, in *listKeysIn) (*listKeysOut, error) {
	list, err := s.Keys(ctx, From(ctx).AccountID, in.Kind, in.DomainName)
	if err != nil {
		return nil, err
	}
	out := &listKeysOut{TotalCount: len(list), Items: make([]keyView, len(list))}
	for i, k := range list {
		out.Items[i] = view(k)
	}
	return out, nil
}

type createKeyIn struct {
	Role        string `form:"role" required:"Parameter 'role' is missing" doc:"admin, basic (analyst), developer, support, or sending for keys of kind domain"`
	Kind        string `form:"kind" doc:"domain, user (default) or web; a web key lives at most one day"`
	DomainName  string `form:"domain_name" doc:"Domain of a key of kind domain"`
	Description string `form:"description" doc:"Free text"`
	Expiration  *int64 `form:"expiration" doc:"Lifetime in seconds; greater than 0"`
	Email       string `form:"email" doc:"Email address of the key's user; should be given for kind web"`
	UserID      string `form:"user_id" doc:"Identifier of the key's user; should be given for kind web"`
	UserName    string `form:"user_name" doc:"Name of the key's user"`
}

type createKeyOut struct {
	Message string  `json:"message" doc:"great success"`
	Key     keyView `json:"key" doc:"The key with its secret"`
}

func (s *Service) createKey(ctx context.Context, in *createKeyIn) (*createKeyOut, error) {
	k, secret, err := s.CreateKey(ctx, From(ctx).AccountID, KeyRequest{
		Kind: in.Kind, Role: in.Role, Domain: in.DomainName, Description: in.Description,
		Email: in.Email, UserID: in.UserID, UserName: in.UserName, Lifetime: in.Expiration,
	})
	if err != nil {
		return nil, err
	}
	out := &createKeyOut{Message: "great success", Key: view(k)}
	out.Key.Secret = secret
	return out, nil
}

type deleteKeyIn struct {
	KeyID string `path:"key_id" doc:"Identifier of the key"`
}

func (s *Service) deleteKey(ctx context.Context, in *deleteKeyIn) (*op.Message, error) {
	if err := s.DeleteKey(ctx, From(ctx).AccountID, in.KeyID); err != nil {
		return nil, err
	}
	return &op.Message{Message: "key deleted"}, nil
}

type publicKeyOut struct {
	Key     string `json:"key" doc:"The new public key"`
	Message string `json:"message"`
}

func (s *Service) regeneratePublic(ctx context.Context, _ *op.Empty) (*publicKeyOut, error) {
	key, err := s.RegeneratePublicKey(ctx, From(ctx).AccountID)
	if err != nil {
		return nil, err
	}
	return &publicKeyOut{Key: key, Message: "The public API key has been successfully regenerated."}, nil
}

type signingOut struct {
	Message string `json:"message,omitempty"`
	Key     string `json:"http_signing_key" doc:"The key that signs webhooks"`
}

func (s *Service) getSigning(ctx context.Context, _ *op.Empty) (*signingOut, error) {
	key, err := s.SigningKey(ctx, From(ctx).AccountID)
	if err != nil {
		return nil, err
	}
	return &signingOut{Key: key}, nil
}

func (s *Service) rotateSigning(ctx context.Context, _ *op.Empty) (*signingOut, error) {
	key, err := s.RotateSigningKey(ctx, From(ctx).AccountID)
	if err != nil {
		return nil, err
	}
	return &signingOut{Message: "regenerated HTTP signing key for account", Key: key}, nil
}
