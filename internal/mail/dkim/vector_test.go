package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
)

// The signed message of RFC 6376, appendix A.2, with the key record of A.2.
const rfc6376Record = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ" +
	"KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt" +
	"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v" +
	"/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi" +
	"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"

const rfc6376Message = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`

// The message of RFC 8463, appendix A.3, signed with Ed25519.
const rfc8463Record = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

const rfc8463Message = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`

func TestVectors(t *testing.T) {
	tests := []struct {
		name, message, record string
		canon                 Canonicalization
		headers               string // present ones, in the order of the vector
	}{
		{"RFC 6376 A.2", rfc6376Message, rfc6376Record, Simple, "Received From To Subject Date Message-ID"},
		{"RFC 8463 A.3", rfc8463Message, rfc8463Record, Relaxed, "from to subject date message-id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			msg := [][]byte{[]byte(strings.ReplaceAll(tt.message, "\n", "\r\n"))}
			checkVector(t, msg, tt.record, tt.canon, strings.Fields(tt.headers))
		})
	}
}

// checkVector computes hashes of a signed message with this package's means and
// checks them against those in its signature, which is the first field.
func checkVector(t *testing.T, msg [][]byte, record string, c Canonicalization, headers []string) {
	var w work
	start := findBody(msg)
	fields, err := appendFields(nil, msg[0][:start.offset])
	if err != nil {
		t.Fatal(err)
	}
	w.fields = fields[1:]
	for _, name := range headers {
		if w.addName(name, c) != 1 {
			t.Fatalf("field %s not found once", name)
		}
	}
	values, err := parseTags(strings.ReplaceAll(string(fields[0].raw[len("DKIM-Signature:"):]), "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	sum := ComputeBodyHash(msg, c)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != values["bh"] {
		t.Errorf("body hash %s, want %s", got, values["bh"])
	}
	// The signature is the last tag; its value is taken as empty. A semicolon
	// after it stays.
	at := bytes.Index(fields[0].raw, []byte(" b=")) + len(" b=")
	unsigned := bytes.Clone(fields[0].raw[:at])
	if bytes.HasSuffix(fields[0].raw, []byte(";")) {
		unsigned = append(unsigned, ';')
	}
	digest := sha256.Sum256(c.appendHeader(w.canonical, unsigned))
	signature, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(values["b"], " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	switch pub := r.PublicKey.(type) {
	case *rsa.PublicKey:
		err = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature)
	case ed25519.PublicKey:
		if !ed25519.Verify(pub, digest[:], signature) {
			t.Error("signature does not verify")
		}
	}
	if err != nil {
		t.Error(err)
	}
}
