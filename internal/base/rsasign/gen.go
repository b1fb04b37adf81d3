//go:build ignore

// Gen writes kernel_amd64.s. The mathematics is explained in doc.go and in the
// head of the file it writes; here stands only how registers are used.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"strings"
)

// A stream is one Montgomery multiplication in flight: its registers and where its
// operands lie. Two streams follow one another step by step; the processor overlaps
// them, so that one computes while the other waits for a quotient digit.
type stream struct {
	x          []string // accumulators, 8 lanes each
	a, a1, a2  []string // multiplicand, and the same moved up by one and two lanes
	b, modulus int      // byte offsets from SI (multiplier) and BX (tables)
}

// apart are sums for the lowest lanes.
var apart = []string{"Z24", "Z25"}

// Registers that no stream keeps from one step to the next.
const (
	m0, m1 = "Z26", "Z27" // quotient digits, broadcast
	carry  = "Z28"
	b0, b1 = "Z29", "Z31" // digits of b, broadcast
	lane1  = "Z30"        // constant 1 in every lane: index of lane 1 for VPERMQ
)

func regs(from, n int) []string {
	r := make([]string, n)
	for i := range r {
		r[i] = fmt.Sprintf("Z%d", from+i)
	}
	return r
}

var pair = []stream{
	{x: regs(0, 3), a: regs(6, 3), a1: regs(9, 3), a2: regs(12, 3)},
	{x: regs(3, 3), a: regs(15, 3), a1: regs(18, 3), a2: regs(21, 3), b: 192, modulus: 5 * 192},
}

var public = []stream{
	{x: regs(0, 6), a: regs(6, 6), a1: regs(12, 6), a2: regs(18, 6)},
}

type gen struct{ bytes.Buffer }

// line writes an instruction, indented, or a directive, label or comment as it is.
func (g *gen) line(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	plain := s == "" || strings.HasSuffix(s, ":")
	for _, start := range []string{"TEXT", "DATA", "GLOBL", "//"} {
		plain = plain || strings.HasPrefix(s, start)
	}
	if !plain {
		s = "\t" + s
	}
	g.WriteString(s + "\n")
}

// note writes the comment above a phase.
func (g *gen) note(lines ...string) {
	g.line("")
	for _, l := range lines {
		g.WriteString("\t// " + l + "\n")
	}
}

// each writes a phase: the same instructions for every stream, taking turns.
func (g *gen) each(why string, streams []stream, phase func(s stream) []string) {
	g.note(why)
	lines := make([][]string, len(streams))
	for i, s := range streams {
		lines[i] = phase(s)
	}
	for n := range lines[0] {
		for i := range lines {
			g.line("%s", lines[i][n])
		}
	}
}

// table is the operand for register g of table t: 0, 1, 2 are the modulus form
// for two digits moved up by 0, 1, 2 lanes; 3, 4 that for one digit.
func (s stream) table(t, g int) string {
	return fmt.Sprintf("%d(BX)", s.modulus+t*len(s.x)*64+g*64)
}

// digits loads k digits of b at SI.
func (g *gen) digits(s stream, k int) {
	for i := range k {
		g.line("VPBROADCASTQ %d(SI), %s", s.b+8*i, []string{b0, b1}[i])
	}
}

// product adds a times the k digits loaded to register i of d.
func (g *gen) product(s stream, k, i int, d string) {
	if k > 0 {
		g.line("VPMADD52LUQ %s, %s, %s", b0, s.a[i], d)
		g.line("VPMADD52HUQ %s, %s, %s", b0, s.a1[i], d)
	}
	if k > 1 {
		g.line("VPMADD52LUQ %s, %s, %s", b1, s.a1[i], d)
		g.line("VPMADD52HUQ %s, %s, %s", b1, s.a2[i], d)
	}
}

// step drops k (1 or 2) digits of every stream and multiplies by the next digits
// of b, of which there are 2, 1 or none.
func (g *gen) step(k, next int, streams []stream) {
	for _, s := range streams {
		n := len(s.x)
		g.note("quotient digits: the lowest lanes themselves, each with the carry of the one below")
		g.line("VPBROADCASTQ X%s, %s", s.x[0][1:], m0)
		g.line("VPSRLQ $52, %s, %s", m0, carry)
		if k == 2 {
			g.line("VPADDQ %s, %s, %s", carry, s.x[0], carry)
			g.line("VPERMQ %s, %s, %s", carry, lane1, m1)
			g.line("VPSRLQ $52, %s, %s", m1, carry)
		}
		g.note("drop the lowest lanes, keep their carry")
		for i := range n - 1 {
			g.line("VALIGNQ $%d, %s, %s, %s", k, s.x[i], s.x[i+1], s.x[i])
		}
		g.line("VALIGNQ.Z $%d, %s, %s, K%d, %s", k, s.x[n-1], s.x[n-1], k+1, s.x[n-1])
		g.line("VPADDQ %s, %s, K1, %s", carry, s.x[0], s.x[0])
		g.note("x += a * next digits of b + quotient digits * modulus form; for the lanes the next",
			"quotient digits come from apart from x at first, which keeps their chain short")
		g.digits(s, next)
		for i := range n {
			if i >= len(apart) {
				g.product(s, next, i, s.x[i])
				g.quotient(s, k, i, s.x[i])
				continue
			}
			g.line("VPXORQ %s, %s, %s", apart[i], apart[i], apart[i])
			g.product(s, next, i, apart[i])
			g.quotient(s, k, i, apart[i])
			g.line("VPADDQ %s, %s, %s", apart[i], s.x[i], s.x[i])
		}
	}
}

// quotient adds the k quotient digits times register i of the modulus form to d.
func (g *gen) quotient(s stream, k, i int, d string) {
	if k == 1 {
		g.line("VPMADD52LUQ %s, %s, %s", s.table(3, i), m0, d)
		g.line("VPMADD52HUQ %s, %s, %s", s.table(4, i), m0, d)
		return
	}
	g.line("VPMADD52LUQ %s, %s, %s", s.table(0, i), m0, d)
	g.line("VPMADD52HUQ %s, %s, %s", s.table(1, i), m0, d)
	g.line("VPMADD52LUQ %s, %s, %s", s.table(1, i), m1, d)
	g.line("VPMADD52HUQ %s, %s, %s", s.table(2, i), m1, d)
}

// normalise brings the lanes of x down to 52 bits and moves them to a.
func (g *gen) normalise(streams []stream) {
	n := len(streams[0].x)
	g.each("carry once: every lane gets the upper 12 bits of the lane below", streams, func(s stream) []string {
		mask := s.a2[0]
		r := []string{
			fmt.Sprintf("VPTERNLOGQ $0xff, %s, %s, %s", mask, mask, mask),
			fmt.Sprintf("VPSRLQ $12, %s, %s", mask, mask),
		}
		for i := range n {
			r = append(r, fmt.Sprintf("VPSRLQ $52, %s, %s", s.x[i], s.a1[i]))
		}
		for i := range n {
			r = append(r, fmt.Sprintf("VPANDQ %s, %s, %s", mask, s.x[i], s.x[i]))
		}
		r = append(r, fmt.Sprintf("VALIGNQ.Z $7, %s, %s, K4, %s", s.a1[0], s.a1[0], s.a[0]))
		for i := 1; i < n; i++ {
			r = append(r, fmt.Sprintf("VALIGNQ $7, %s, %s, %s", s.a1[i-1], s.a1[i], s.a[i]))
		}
		for i := range n {
			r = append(r, fmt.Sprintf("VPADDQ %s, %s, %s", s.a[i], s.x[i], s.x[i]))
		}
		return r
	})
	for _, s := range streams {
		g.note("carry the rest: AX has a bit for lanes above 2^52-1, DX for lanes equal to it;",
			"(2*AX + DX) xor DX has a bit for every lane that gets a carry of 1")
		for i := range n {
			ax, dx := "AX", "DX"
			if i > 0 {
				ax, dx = "R10", "R11"
			}
			g.line("VPCMPUQ $6, %s, %s, K6", s.a2[0], s.x[i])
			g.line("VPCMPUQ $0, %s, %s, K7", s.a2[0], s.x[i])
			g.line("KMOVW K6, %s", ax)
			g.line("KMOVW K7, %s", dx)
			if i > 0 {
				g.line("SHLQ $%d, R10", 8*i)
				g.line("SHLQ $%d, R11", 8*i)
				g.line("ORQ R10, AX")
				g.line("ORQ R11, DX")
			}
		}
		g.line("LEAQ (DX)(AX*2), AX")
		g.line("XORQ DX, AX")
		for i := range n {
			g.line("KMOVW AX, K6")
			g.line("VPSUBQ %s, %s, K6, %s", s.a2[0], s.x[i], s.x[i])
			g.line("VPANDQ %s, %s, %s", s.a2[0], s.x[i], s.a[i])
			if i < n-1 {
				g.line("SHRQ $8, AX")
			}
		}
	}
}

// multiply writes the subroutine name: a = a*b/R for every stream.
func (g *gen) multiply(name string, steps int, streams []stream) {
	n := len(streams[0].x)
	g.line("TEXT %s<>(SB), NOSPLIT, $0-0", name)
	g.each("a1, a2 = a moved up by one and two lanes; x = 0", streams, func(s stream) []string {
		var r []string
		for shift, d := range [][]string{s.a1, s.a2} {
			r = append(r, fmt.Sprintf("VALIGNQ.Z $%d, %s, %s, K%d, %s", 7-shift, s.a[0], s.a[0], 4+shift, d[0]))
			for i := 1; i < n; i++ {
				r = append(r, fmt.Sprintf("VALIGNQ $%d, %s, %s, %s", 7-shift, s.a[i-1], s.a[i], d[i]))
			}
		}
		for i := range n {
			r = append(r, fmt.Sprintf("VPXORQ %s, %s, %s", s.x[i], s.x[i], s.x[i]))
		}
		return r
	})
	g.note("the first two digits of b")
	for _, s := range streams {
		g.digits(s, 2)
		for i, x := range s.x {
			g.product(s, 2, i, x)
		}
	}
	g.line("ADDQ $16, SI")
	g.line("MOVQ $%d, CX", steps)
	g.line("")
	g.line("%sTwo:", name)
	g.step(2, 2, streams)
	g.line("")
	g.line("ADDQ $16, SI")
	g.line("DECQ CX")
	g.line("JNZ %sTwo", name)
	g.note("the last digit of b is alone and the last step drops one digit, so that the result",
		"is 54 and not 106 bits longer than the modulus")
	g.step(2, 1, streams)
	g.step(1, 0, streams)
	g.normalise(streams)
	g.line("RET")
	g.line("")
}

// constants sets the registers the subroutines expect.
func (g *gen) constants() {
	for i, m := range []int{1, 0x7f, 0x3f, 0xfe, 0xfc} {
		g.line("MOVL $%#x, AX", m)
		g.line("KMOVW AX, K%d", i+1)
	}
	g.line("MOVL $1, AX")
	g.line("VPBROADCASTQ AX, %s", lane1)
}

func (g *gen) move(streams []stream, base string, load bool) {
	for _, s := range streams {
		for i, r := range s.a {
			if load {
				g.line("VMOVDQU64 %d(%s), %s", s.b+64*i, base, r)
			} else {
				g.line("VMOVDQU64 %s, %d(%s)", r, s.b+64*i, base)
			}
		}
	}
}

// entry writes the Go function name(dst, a, b, modulus) around a subroutine.
func (g *gen) entry(name, sub string, streams []stream) {
	g.line("TEXT ·%s(SB), NOSPLIT, $0-32", name)
	g.line("MOVQ a+8(FP), R8")
	g.line("MOVQ b+16(FP), SI")
	g.line("MOVQ modulus+24(FP), BX")
	g.constants()
	g.move(streams, "R8", true)
	g.line("CALL %s<>(SB)", sub)
	g.line("MOVQ dst+0(FP), R8")
	g.move(streams, "R8", false)
	g.line("VZEROUPPER")
	g.line("RET")
	g.line("")
}

// pick writes the subroutine that reads one table entry per stream without an
// address that depends on which. Masked loads will not do: their time can depend on
// the mask, as where a page has not been touched.
func (g *gen) pick() {
	g.line("// pickPair stores the entries number Z24 (for p) and Z25 (for q), broadcast, of the")
	g.line("// table at R9 to the pair at SI, behind which 512 octets are scratch. All 32 entries")
	g.line("// are read; all ones or zeros, computed first, keep or drop each. Uses Z0-Z5, DI, CX, K6.")
	g.line("TEXT pickPair<>(SB), NOSPLIT, $0-0")
	g.note("DI: 32 pairs of masks; Z0: the numbers of eight entries, p and q side by side")
	g.line("LEAQ 384(SI), DI")
	g.line("MOVL $0xaa, CX")
	g.line("KMOVW CX, K6")
	g.line("VPBLENDMQ Z25, Z24, K6, Z24")
	g.line("VMOVDQU64 numbers<>(SB), Z0")
	g.line("VPADDQ %s, %s, Z1", lane1, lane1)
	g.line("VPADDQ Z1, Z1, Z1")
	for i := range 8 {
		g.line("VPCMPEQQ Z24, Z0, K6")
		g.line("VPTERNLOGQ.Z $0xff, Z2, Z2, K6, Z2")
		g.line("VMOVDQU64 Z2, %d(DI)", 64*i)
		g.line("VPADDQ Z1, Z0, Z0")
	}
	for i := range 6 {
		g.line("VPXORQ Z%d, Z%d, Z%d", i, i, i)
	}
	g.line("MOVQ $32, CX")
	g.line("")
	g.line("pickNext:")
	g.line("VPBROADCASTQ (DI), Z24")
	g.line("VPBROADCASTQ 8(DI), Z25")
	for i := range 6 {
		g.line("VPTERNLOGQ $0xf8, %d(R9), Z%d, Z%d // | (table & mask)", 64*i, 24+i/3, i)
	}
	g.line("ADDQ $16, DI")
	g.line("ADDQ $384, R9")
	g.line("DECQ CX")
	g.line("JNZ pickNext")
	g.line("")
	for i := range 6 {
		g.line("VMOVDQU64 Z%d, %d(SI)", i, 64*i)
	}
	g.line("RET")
	g.line("")
	g.line("// 0 to 3, each for p and q.")
	for i := range 8 {
		g.line("DATA numbers<>+%d(SB)/8, $%d", 8*i, i/2)
	}
	g.line("GLOBL numbers<>(SB), RODATA|NOPTR, $64")
	g.line("")
}

// window writes the Go functions for one step of the exponentiation.
func (g *gen) window() {
	g.line("// func pick(dst, table *uint64, ip, iq uint64)")
	g.line("TEXT ·pick(SB), NOSPLIT, $0-32")
	g.constants()
	g.line("MOVQ dst+0(FP), SI")
	g.line("MOVQ table+8(FP), R9")
	g.line("VPBROADCASTQ ip+16(FP), Z24")
	g.line("VPBROADCASTQ iq+24(FP), Z25")
	g.line("CALL pickPair<>(SB)")
	g.line("VZEROUPPER")
	g.line("RET")
	g.line("")
	g.line("// func window(acc, table, modulus *uint64, ip, iq uint64)")
	g.line("TEXT ·window(SB), NOSPLIT, $0-40")
	g.line("MOVQ acc+0(FP), R8")
	g.line("MOVQ modulus+16(FP), BX")
	g.constants()
	g.move(pair, "R8", true)
	g.line("MOVQ $5, R12")
	g.line("")
	g.line("square:")
	g.line("MOVQ R8, SI")
	g.line("CALL multiplyPair<>(SB)")
	g.move(pair, "R8", false)
	g.line("DECQ R12")
	g.line("JNZ square")
	g.line("")
	g.line("MOVQ table+8(FP), R9")
	g.line("VPBROADCASTQ ip+24(FP), Z24")
	g.line("VPBROADCASTQ iq+32(FP), Z25")
	g.line("LEAQ 384(R8), SI")
	g.line("CALL pickPair<>(SB)")
	g.line("LEAQ 384(R8), SI")
	g.line("CALL multiplyPair<>(SB)")
	g.move(pair, "R8", false)
	g.line("VZEROUPPER")
	g.line("RET")
}

const head = `// Code generated by gen.go. DO NOT EDIT.

//go:build amd64

#include "textflag.h"

// Almost-Montgomery multiplication with AVX-512 IFMA.
//
// Numbers are little-endian digits of 52 bits, one in each 64-bit lane, in 3
// (two numbers modulo a prime) or 6 (one number modulo N) registers. VPMADD52LUQ
// and VPMADD52HUQ multiply the low 52 bits of each lane and add the lower or the
// upper 52 bits of the product. The upper half belongs to the next digit, so it is
// taken of operands that are moved up by one lane more.
//
// For k digits at a time the modulus n is used in the form (n*f + 1) / 2^(52k) with
// f = -1/n mod 2^(52k). As n*f = -1 modulo 2^(52k), the k lowest digits of the
// accumulator are the quotient digits as they stand: no multiplication lies
// between them and the next step. Adding quotient*n*f and dropping k digits is
// dropping them and adding quotient*(n*f+1)/2^(52k).
//
// Lanes stay below 2^60 (a lane collects at most 4 products per digit of b) and are
// brought down to 52 bits once, at the end. The bounds are proved in modulus_amd64.go.
// There is no branch and no address that depends on an operand.
//
// Masks: K1 lane 0; K2, K3 all but the highest one, two lanes; K4, K5 all but the
// lowest one, two lanes; K6, K7 scratch. Z0-Z5 accumulators; Z6-Z23 multiplicands, each
// beside itself moved up; Z24, Z25 sums for the lowest lanes; Z26, Z27 quotient digits;
// Z28 carry; Z29, Z31 digits of the multiplier; Z30 ones. BX points to the modulus
// tables, SI to the multiplier (moved on), CX counts steps, AX, DX, R10, R11 scratch.
// R14 and R15 are not used; X15 is restored by Go's wrapper around assembly. All
// instructions are of AVX512F and AVX512IFMA, on whole registers.

`

func main() {
	var g gen
	g.WriteString(head)
	g.line("// multiplyPair: a = a*b/2^1092 for two moduli. a: Z6-Z8 for p, Z15-Z17 for q.")
	g.multiply("multiplyPair", 9, pair)
	g.line("// multiplyPublic: a = a*b/2^2132. a: Z6-Z11.")
	g.multiply("multiplyPublic", 19, public)
	g.pick()
	g.line("// func mulPair(dst, a, b, modulus *uint64)")
	g.entry("mulPair", "multiplyPair", pair)
	g.line("// func mulPublic(dst, a, b, modulus *uint64)")
	g.entry("mulPublic", "multiplyPublic", public)
	g.window()
	if err := os.WriteFile("kernel_amd64.s", g.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
