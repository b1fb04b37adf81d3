package rsasign

//go:generate go run gen.go

// The kernels read and write digits of 52 bits; see kernel_amd64.s. A pair is
// 2*pairLanes words, the number modulo p first; a public number is publicLanes
// words. modulus points to tables as laid out by setForms; those of q follow those of
// p. Factors are below 2^54 times the modulus, and so are results (modulus_amd64.go).
// dst may be a or b. A call takes about a microsecond at most, during which
// the goroutine cannot be preempted.

// mulPair sets dst to a*b/2^1092 modulo each of two moduli.
//
//go:noescape
func mulPair(dst, a, b, modulus *uint64)

// mulPublic sets dst to a*b/2^2132 modulo one modulus.
//
//go:noescape
func mulPublic(dst, a, b, modulus *uint64)

// pick sets the pair dst to entry ip (for p) and iq (for q) of a table of 32 pairs.
// 512 octets behind dst are overwritten.
//
//go:noescape
func pick(dst, table *uint64, ip, iq uint64)

// window squares the pair acc five times and multiplies it with entry ip and iq of
// table. A pair and 512 octets behind acc are overwritten.
//
//go:noescape
func window(acc, table, modulus *uint64, ip, iq uint64)
