package config

// Nearest is the candidate that takes the fewest edits to reach from name, if
// that is few enough to be a slip of the finger; else "".
func Nearest(name string, candidates []string) string {
	if len(name) > 64 {
		return ""
	}
	best, most := "", max(2, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(name, c); d < most {
			best, most = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// suggestion is the end of a message about an unknown name.
func suggestion(name string, candidates []string) string {
	if c := Nearest(name, candidates); c != "" {
		return "; did you mean " + c + "?"
	}
	return ""
}
