// Package image writes container images of one layer as archives that containerd and Docker import.
package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// File is a regular file of the image.
type File struct {
	// Path in the image, absolute.
	Path string
	// Source is the file on this machine.
	Source string
	Mode   fs.FileMode
}

// Image is what an archive holds.
type Image struct {
	// Names with tags, as manifests write them.
	Names []string
	// Entrypoint is a path in the image.
	Entrypoint string
	Files      []File
	// Root says that the program runs as root; otherwise as user and group 65532.
	Root bool
}

const nonRoot = 65532

const passwd = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"

// Write writes the archive, complete or not at all.
func (i Image) Write(archive string) error {
	partial := archive + ".partial"
	layer := archive + ".layer"
	defer os.Remove(layer)
	digest, err := i.writeLayer(layer)
	if err != nil {
		return fmt.Errorf("layer of %s: %w", i.Names[0], err)
	}
	if err := i.writeArchive(partial, layer, digest); err != nil {
		return fmt.Errorf("archive of %s: %w", i.Names[0], err)
	}
	return os.Rename(partial, archive)
}

// writeLayer writes the file system of the image and returns its SHA-256 in hexadecimal.
func (i Image) writeLayer(name string) (string, error) {
	file, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	archive := tar.NewWriter(io.MultiWriter(file, sum))
	if err := writeFolders(archive, i.folders()); err != nil {
		return "", err
	}
	if err := writeText(archive, "etc/passwd", []byte(passwd)); err != nil {
		return "", err
	}
	for _, content := range i.Files {
		if err := writeFile(archive, content.Path, content.Source, content.Mode); err != nil {
			return "", err
		}
	}
	if err := archive.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), file.Close()
}

// folders lists each folder of the image once, parents first.
func (i Image) folders() []string {
	folders := []string{"etc", "root", "tmp"}
	for _, content := range i.Files {
		for folder := path.Dir(strings.TrimPrefix(content.Path, "/")); folder != "."; folder = path.Dir(folder) {
			folders = append(folders, folder)
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// writeArchive puts layer, configuration and manifest together, in Docker's layout.
func (i Image) writeArchive(name, layer, digest string) error {
	configuration, err := json.Marshal(i.configuration(digest))
	if err != nil {
		return err
	}
	identity := sha256.Sum256(configuration)
	configurationName := hex.EncodeToString(identity[:]) + ".json"
	layerName := digest + "/layer.tar"
	manifest, err := json.Marshal([]map[string]any{{
		"Config": configurationName, "RepoTags": i.Names, "Layers": []string{layerName},
	}})
	if err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	if err := writeFile(archive, layerName, layer, 0o644); err != nil {
		return err
	}
	if err := writeText(archive, configurationName, configuration); err != nil {
		return err
	}
	if err := writeText(archive, "manifest.json", manifest); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return file.Close()
}

func (i Image) configuration(digest string) map[string]any {
	user := ""
	if !i.Root {
		user = fmt.Sprintf("%d:%d", nonRoot, nonRoot)
	}
	return map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": map[string]any{
			"Entrypoint": []string{i.Entrypoint},
			"Env":        []string{"PATH=/usr/local/bin:/usr/bin:/bin:/"},
			"User":       user,
			"WorkingDir": "/",
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
		"history": []map[string]string{{"created_by": "tests/cluster"}},
	}
}

func writeFolders(archive *tar.Writer, folders []string) error {
	for _, folder := range folders {
		mode := int64(0o755)
		if folder == "tmp" {
			mode = 0o1777
		}
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: mode}); err != nil {
			return err
		}
	}
	return nil
}

func writeText(archive *tar.Writer, name string, text []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err := archive.Write(text)
	return err
}

func writeFile(archive *tar.Writer, name, source string, mode fs.FileMode) error {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: int64(mode.Perm()), Size: about.Size()}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
