package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// certificateBundle is where programs of a Debian system look for public roots.
const certificateBundle = "/etc/ssl/certs/ca-certificates.crt"

// Program makes the image of a program of this machine: the program at /name, the shared libraries that it loads, at the
// same places as here, and the public roots.
func Program(reference, binary string) (Image, error) {
	libraries, err := sharedLibraries(binary)
	if err != nil {
		return Image{}, err
	}
	entrypoint := "/" + filepath.Base(binary)
	files := []File{{Path: entrypoint, Source: binary, Mode: 0o755}}
	for _, library := range libraries {
		files = append(files, File{Path: library, Source: library, Mode: 0o755})
	}
	if _, err := os.Stat(certificateBundle); err == nil {
		files = append(files, File{Path: certificateBundle, Source: certificateBundle, Mode: 0o644})
	}
	return Image{Names: []string{reference}, Entrypoint: entrypoint, Files: files}, nil
}

// sharedLibraries lists the paths that the dynamic loader reads for a program, the loader itself included; none for a
// statically linked program.
func sharedLibraries(binary string) ([]string, error) {
	output, err := exec.Command("ldd", binary).CombinedOutput()
	text := string(output)
	if strings.Contains(text, "not a dynamic executable") || strings.Contains(text, "statically linked") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", binary, err, text)
	}
	return loaded(text), nil
}

// loaded takes the paths out of what ldd prints: "name => path (address)" or "path (address)".
func loaded(listing string) []string {
	var paths []string
	for line := range strings.Lines(listing) {
		for _, word := range strings.Fields(line) {
			if filepath.IsAbs(word) {
				paths = append(paths, word)
			}
		}
	}
	return paths
}
