package artifact

import (
	"path/filepath"

	"cluster/internal/image"
)

// BaseImage is an image that every cluster has: one statically linked program under the names that manifests use.
type BaseImage struct {
	Program Artifact
	Names   []string
	// Root says that the program must run as root, as the published image does.
	Root bool
}

// PauseImage holds the sandbox of each pod.
const PauseImage = "registry.k8s.io/pause:3.10"

// BaseImages are what the conformance suite's manifests name, and the sandbox.
var BaseImages = []BaseImage{
	{Program: Pause, Names: []string{PauseImage}},
	{Program: EchoBasic, Root: true, Names: []string{
		"registry.k8s.io/gateway-api/conformance/echo-basic:v0.1.0",
		"registry.k8s.io/gateway-api/conformance/echo-basic:v0.2.0",
	}},
}

// Archive is the path of the image's archive in the cache, beside its program.
func (b BaseImage) Archive() (string, error) {
	path, err := b.Program.Path()
	return path + ".tar", err
}

// buildImages writes the archives that the cache lacks.
func buildImages() error {
	for _, base := range BaseImages {
		archive, err := base.Archive()
		if err != nil {
			return err
		}
		if exists(archive) {
			continue
		}
		program := filepath.Join(filepath.Dir(archive), base.Program.Name)
		content := image.Image{
			Names:      base.Names,
			Entrypoint: "/" + base.Program.Name,
			Files:      []image.File{{Path: "/" + base.Program.Name, Source: program, Mode: 0o755}},
			Root:       base.Root,
		}
		if err := content.Write(archive); err != nil {
			return err
		}
	}
	return nil
}
