//go:build !unix

package disk

import "errors"

// Of is not supported here: errors.ErrUnsupported.
func Of(string) (Space, error) { return Space{}, errors.ErrUnsupported }
