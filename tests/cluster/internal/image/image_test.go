package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAnArchiveNamesTheImageAndItsUser(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "program")
	if err := os.WriteFile(program, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	for given, then := range map[string]struct {
		root bool
		user string
	}{
		"a program of ours":                         {root: false, user: "65532:65532"},
		"a program that its publisher runs as root": {root: true, user: ""},
	} {
		t.Run(given, func(t *testing.T) {
			content := Image{
				Names:      []string{"example.com/program:1"},
				Entrypoint: "/program",
				Files:      []File{{Path: "/opt/bin/program", Source: program, Mode: 0o755}},
				Root:       then.root,
			}
			archive := filepath.Join(folder, "image.tar")
			if err := content.Write(archive); err != nil {
				t.Fatal(err)
			}
			files := readArchive(t, archive)
			var manifest []struct {
				Config   string
				RepoTags []string
			}
			if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(manifest[0].RepoTags, content.Names) {
				t.Errorf("names %v", manifest[0].RepoTags)
			}
			var configuration struct {
				Config struct{ User string }
			}
			if err := json.Unmarshal(files[manifest[0].Config], &configuration); err != nil {
				t.Fatal(err)
			}
			if configuration.Config.User != then.user {
				t.Errorf("user %q, not %q", configuration.Config.User, then.user)
			}
		})
	}
}

func TestFoldersComeBeforeWhatIsInThem(t *testing.T) {
	content := Image{Files: []File{{Path: "/usr/lib/x/y.so"}, {Path: "/usr/bin/z"}}}
	expected := []string{"etc", "root", "tmp", "usr", "usr/bin", "usr/lib", "usr/lib/x"}
	if folders := content.folders(); !slices.Equal(folders, expected) {
		t.Errorf("folders %v", folders)
	}
}

func TestTheLoaderIsAmongTheLibraries(t *testing.T) {
	listing := "\tlinux-vdso.so.1 (0x00007ffd)\n" +
		"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f1b)\n" +
		"\t/lib64/ld-linux-x86-64.so.2 (0x00007f1c)\n"
	expected := []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"}
	if libraries := loaded(listing); !slices.Equal(libraries, expected) {
		t.Errorf("libraries %v", libraries)
	}
}

func readArchive(t *testing.T, path string) map[string][]byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	files := map[string][]byte{}
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
