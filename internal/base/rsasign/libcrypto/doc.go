// Package libcrypto signs with the RSA of OpenSSL 3. It has content only in builds
// with the tags cgo and libcrypto, and stands apart from package rsasign because a
// package cannot hold both cgo and Go assembly.
package libcrypto
