//! What was cut out of an audit, as files of JSON lines: the cut before, the entries, and the cut that they end with. Each can
//! be verified by itself.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use domain::broker::audit::checkpoint::Checkpoint;
use domain::broker::audit::{End, Entry};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::wire::audit::{CheckpointDocument, LineDocument};
use crate::wire::people::EntryDocument;

/// Bytes of a line, at most: seven texts of 1 KiB, as JSON.
const LONGEST_LINE: u64 = 64 << 10;

/// A file that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct FileError {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

fn failed(path: &Path, reason: &impl ToString) -> FileError {
    FileError {
        name: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// A file that is written. It gets its name once it is whole and on the disk.
pub(super) struct Writing {
    folder: PathBuf,
    part: PathBuf,
    file: File,
}

impl Writing {
    /// Begins a file. `unique` is in its name for as long as it is not whole.
    pub(super) async fn begin(
        folder: &Path,
        begins: Option<&Checkpoint>,
        unique: &str,
    ) -> Result<Self, FileError> {
        let part = folder.join(format!(".audit-{unique}.part"));
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&part);
        let mut this = Self {
            folder: folder.to_owned(),
            file: file.await.map_err(|error| failed(&part, &error))?,
            part,
        };
        let begins = begins.map(CheckpointDocument::of);
        this.write(&[LineDocument::Begins(begins)]).await?;
        Ok(this)
    }

    async fn write(&mut self, lines: &[LineDocument]) -> Result<(), FileError> {
        let mut text = Vec::new();
        for line in lines {
            let written = serde_json::to_writer(&mut text, line);
            written.map_err(|error| failed(&self.part, &error))?;
            text.push(b'\n');
        }
        let written = self.file.write_all(&text).await;
        written.map_err(|error| failed(&self.part, &error))
    }

    pub(super) async fn add(&mut self, entries: &[Entry]) -> Result<(), FileError> {
        let entries = entries.iter().cloned().map(EntryDocument::of);
        let lines: Vec<_> = entries.map(LineDocument::Entry).collect();
        self.write(&lines).await
    }

    /// The name of the file, whole. Two that end alike are of the same entries, so one may take the other's place.
    pub(super) async fn finish(
        mut self,
        start: u64,
        cut: &Checkpoint,
    ) -> Result<String, FileError> {
        let last = cut.statement.end.sequence;
        let end = LineDocument::Cut(CheckpointDocument::of(cut));
        self.write(&[end]).await?;
        let name = format!("audit-{:012}-{last:012}.jsonl", start + 1);
        let on_disk = async {
            self.file.flush().await?;
            self.file.sync_all().await?;
            tokio::fs::rename(&self.part, self.folder.join(&name)).await?;
            File::open(&self.folder).await?.sync_all().await
        };
        on_disk.await.map_err(|error| failed(&self.part, &error))?;
        Ok(name)
    }

    /// Removes what is written so far.
    pub(super) async fn give_up(self) {
        // What is left is named as unfinished.
        drop(tokio::fs::remove_file(&self.part).await);
    }
}

/// A file that was exported.
#[derive(Debug, Clone)]
pub struct Exported {
    path: PathBuf,
    /// The cut before its first entry.
    pub begins: Option<Checkpoint>,
    /// The cut at its last one.
    pub cut: Checkpoint,
}

impl Exported {
    /// All in a folder, by their first entries.
    pub fn list(folder: &Path) -> Result<Vec<Self>, FileError> {
        let read = std::fs::read_dir(folder).map_err(|error| failed(folder, &error))?;
        let mut files = Vec::new();
        for entry in read {
            let path = entry.map_err(|error| failed(folder, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with("audit-") && name.ends_with(".jsonl")) {
                files.push(Self::open(path)?);
            }
        }
        files.sort_by_key(|file| (file.start().sequence, file.cut.statement.end.sequence));
        Ok(files)
    }

    fn open(path: PathBuf) -> Result<Self, FileError> {
        let mut lines = Lines::open(&path)?;
        let first = lines.next();
        let last = lines.last();
        let whole = "it must begin with a line `begins` and end with a line `cut`";
        let (Some(Ok(first)), Some(Ok(last))) = (first, last) else {
            return Err(failed(&path, &whole));
        };
        let begins = match serde_json::from_str(&first) {
            Ok(LineDocument::Begins(None)) => Some(None),
            Ok(LineDocument::Begins(Some(cut))) => cut.read().map(Some),
            _ => None,
        };
        let cut = match serde_json::from_str(&last) {
            Ok(LineDocument::Cut(cut)) => cut.read(),
            _ => None,
        };
        match (begins, cut) {
            (Some(begins), Some(cut)) => Ok(Self { path, begins, cut }),
            _ => Err(failed(&path, &whole)),
        }
    }

    /// Where its entries begin.
    pub fn start(&self) -> End {
        let begins = self.begins.as_ref();
        begins.map_or(End::default(), |begins| begins.statement.end)
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Its entries, as they are written there.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<Entry, FileError>>, FileError> {
        let path = self.path.clone();
        let lines = Lines::open(&path)?;
        let is_entry = |line: &Result<String, FileError>| {
            !line
                .as_ref()
                .is_ok_and(|line| line.starts_with("{\"begins\"") || line.starts_with("{\"cut\""))
        };
        Ok(lines.filter(is_entry).map(move |line| {
            let read = match serde_json::from_str(&line?) {
                Ok(LineDocument::Entry(entry)) => entry.read(),
                _ => None,
            };
            read.ok_or_else(|| failed(&path, &"a line is no entry"))
        }))
    }
}

/// Lines of bounded length.
struct Lines {
    path: PathBuf,
    reader: BufReader<std::fs::File>,
    has_failed: bool,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, FileError> {
        let file = std::fs::File::open(path).map_err(|error| failed(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::new(file),
            has_failed: false,
        })
    }
}

impl Iterator for Lines {
    type Item = Result<String, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let mut line = String::new();
        let mut bounded = self.reader.by_ref().take(LONGEST_LINE);
        let read = match bounded.read_line(&mut line) {
            Ok(0) => return None,
            Ok(_) if line.ends_with('\n') => Ok(line),
            Ok(_) => Err(failed(&self.path, &"a line is too long or has no end")),
            Err(error) => Err(failed(&self.path, &error)),
        };
        self.has_failed = read.is_err();
        Some(read)
    }
}
