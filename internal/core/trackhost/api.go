package trackhost

import (
	"context"

	"postroad/internal/base/errs"
	"postroad/internal/base/op"
)

const path = "/v2/x509/"

// Ops returns the operations of certificates of tracking hosts.
func (s *Service) Ops() []op.Op {
	return []op.Op{
		op.New("POST", path+"{domain}", op.Domains, op.Write, "Get a certificate for a tracking host", s.post).
			WithDoc("The certificate is obtained in the background; the path in location tells what has become of it."),
		op.New("PUT", path+"{domain}", op.Domains, op.Write, "Get a certificate that has expired or failed again", s.put),
		op.New("GET", path+"{domain}/status", op.Domains, op.Read, "Get the certificate of a tracking host and its state", s.get),
	}
}

type hostIn struct {
	Host string `path:"domain" doc:"Tracking host (web_prefix.name or tracking_host of the domain's settings), or the domain's name"`
}

type startedOut struct {
	Message  string `json:"message"`
	Location string `json:"location" doc:"Path that tells what has become of it"`
}

// Respond implements op.Responder. Mailgun: 202.
func (o *startedOut) Respond() op.Response {
	return op.Response{Status: 202, JSON: *o}
}

func started(host string) *startedOut {
	return &startedOut{"Initiated x509 key pair generation", path + host + "/status"}
}

func (s *Service) post(ctx context.Context, in *hostIn) (*startedOut, error) {
	d, h, err := s.find(ctx, in.Host, errNoCert)
	if err == nil && !h.Current {
		err = errNoCert.WithHint("the tracking host of %s is %s", d.Name, d.TrackingHost())
	}
	if err == nil {
		err = s.Initiate(ctx, d, h.Name)
	}
	return started(h.Name), err
}

func (s *Service) put(ctx context.Context, in *hostIn) (*startedOut, error) {
	d, h, err := s.find(ctx, in.Host, errNoCert)
	if err == nil {
		err = s.Regenerate(ctx, d, h.Name)
	}
	return started(h.Name), err
}

type statusOut struct {
	Status      State   `json:"status" enum:"processing,active,expired,error" doc:"State of the certificate"`
	Error       *string `json:"error" doc:"Why it is not active; null if it is"`
	Certificate string  `json:"certificate,omitempty" doc:"The certificate with its chain, in PEM"`
}

func (s *Service) get(ctx context.Context, in *hostIn) (*statusOut, error) {
	_, h, err := s.find(ctx, in.Host, errNotInitiated)
	if err != nil {
		return nil, err
	}
	st, found, err := s.Status(ctx, h.Name)
	if err == nil && !found {
		err = errNotInitiated
	}
	if err != nil {
		return nil, err
	}
	out := &statusOut{Status: st.State, Certificate: st.PEM}
	if st.Why != "" {
		out.Error = &st.Why
	}
	return out, nil
}

// Mailgun: the braces are in the text.
var errNotInitiated = errs.New(errs.NotFound, "Please initiate x509 key pair generation at POST /v2/x509/{domain}")
