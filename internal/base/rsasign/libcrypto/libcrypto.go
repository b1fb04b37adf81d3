//go:build cgo && libcrypto

package libcrypto

// The few prototypes are declared here so that a build needs the library only, not
// its headers. They are the same in OpenSSL 1.1.1 and 3.

/*
#cgo LDFLAGS: -l:libcrypto.so.3
#include <stddef.h>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_pkey_ctx_st EVP_PKEY_CTX;
typedef struct evp_md_st EVP_MD;
EVP_PKEY *d2i_AutoPrivateKey(EVP_PKEY **, const unsigned char **, long);
void EVP_PKEY_free(EVP_PKEY *);
EVP_PKEY_CTX *EVP_PKEY_CTX_new(EVP_PKEY *, void *);
void EVP_PKEY_CTX_free(EVP_PKEY_CTX *);
int EVP_PKEY_sign_init(EVP_PKEY_CTX *);
int EVP_PKEY_CTX_set_signature_md(EVP_PKEY_CTX *, const EVP_MD *);
int EVP_PKEY_sign(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
const EVP_MD *EVP_sha256(void);
void ERR_clear_error(void);

static EVP_PKEY *rsasign_open(const unsigned char *der, long n) {
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, n);
	ERR_clear_error();
	return key;
}

// The padding of EVP_PKEY_sign is PKCS #1 v1.5 unless told otherwise.
static int rsasign_sign(EVP_PKEY *key, const unsigned char *digest, unsigned char *sig, size_t n) {
	size_t got = n;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	int ok = ctx != NULL && EVP_PKEY_sign_init(ctx) > 0 &&
		EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
		EVP_PKEY_sign(ctx, sig, &got, digest, 32) > 0 && got == n;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}
*/
import "C"

import (
	"crypto/sha256"
	"errors"
	"runtime"
	"unsafe"
)

var (
	errKey  = errors.New("libcrypto: key refused")
	errSign = errors.New("libcrypto: signing failed")
)

// Key is a private key inside OpenSSL, safe for concurrent use.
type Key struct {
	key  *C.EVP_PKEY
	size int
}

// Open reads an RSA key as PKCS #1 DER. size is the length of its modulus in octets.
func Open(der []byte, size int) (*Key, error) {
	if len(der) == 0 || size <= 0 {
		return nil, errKey
	}
	key := C.rsasign_open((*C.uchar)(unsafe.Pointer(&der[0])), C.long(len(der)))
	if key == nil {
		return nil, errKey
	}
	k := &Key{key: key, size: size}
	runtime.AddCleanup(k, func(key *C.EVP_PKEY) { C.EVP_PKEY_free(key) }, key)
	return k, nil
}

// Sign makes a PKCS #1 v1.5 signature. OpenSSL checks its own for faults.
func (k *Key) Sign(digest *[sha256.Size]byte) ([]byte, error) {
	sig := make([]byte, k.size)
	ok := C.rsasign_sign(k.key, (*C.uchar)(unsafe.Pointer(&digest[0])), (*C.uchar)(unsafe.Pointer(&sig[0])), C.size_t(k.size))
	runtime.KeepAlive(k)
	if ok != 1 {
		return nil, errSign
	}
	return sig, nil
}
