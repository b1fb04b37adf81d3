// Package rsasign makes RSA signatures (PKCS #1 v1.5, SHA-256) fast: they are what
// signing mail costs. A [Key] is a [crypto.Signer] and signs with the best of three
// backends: a kernel of our own for processors with AVX-512 IFMA, libcrypto if the
// program was built with it (tags cgo and libcrypto), and crypto/rsa.
//
// The kernel serves keys of 2048 bits with two primes of 1024 bits. Invariants:
//
//   - What depends on the private key decides no branch and no address, from the
//     parsed key to the signature. Only the check of a finished signature, which
//     handles public values, is free of this rule. (math/big holds the parsed key
//     and hands it over as octets; that shows lengths in words, as in crypto/rsa.)
//   - No signature of the kernel leaves before signature^e mod N was compared with
//     what was to be signed, by arithmetic that does not use the primes: a wrong
//     half of a signature would reveal a prime. On a difference crypto/rsa signs
//     and [Key.Faults] counts.
//   - Whatever the kernel does not serve, crypto/rsa does. The kernel serves no key
//     that crypto/rsa finds invalid.
//
// Arithmetic. A signature is m^d modulo p and modulo q, both exponentiations in
// one instruction stream (S. Gueron, V. Krasnov, "Software implementation of
// modular exponentiation, using advanced vector instructions architectures",
// WAIFI 2012), joined by Garner's formula. Multiplications are almost-Montgomery:
// results are congruent and below 2^54 times p, not below p; the final reduction is a
// Montgomery reduction of 64-bit words. Multiples of the primes, whose lowest
// digits are all ones, spare the multiplication that finds a quotient digit; the
// price is one digit more (21 of 52 bits instead of 20).
package rsasign
