//! Inputs of the fuzz targets that are run with the ordinary tests of the parsers' crates, each of which includes this
//! file: `fuzz/corpus/` has a folder for each target and a file for each input.

use std::path::{Path, PathBuf};

/// A target: its name, and what it does with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Inputs of one target at the most, and the size of the largest in bytes: they are run on every save.
const INPUTS: usize = 200;
const LARGEST: usize = 4096;

/// Runs each target on each of its inputs.
pub(crate) fn run(targets: &[Target]) {
    for (target, run) in targets {
        let inputs = inputs(target);
        let count = inputs.len();
        assert!(
            (1..=INPUTS).contains(&count),
            "fuzz/corpus/{target} has {count} inputs; leave 1 to {INPUTS}"
        );
        for path in inputs {
            let input = std::fs::read(&path).expect("an input that can be read");
            let named = Named(&path);
            assert!(input.len() <= LARGEST, "larger than {LARGEST} bytes");
            run(&input);
            drop(named);
        }
    }
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = above.find_map(|folder| {
        let folder = folder.join("fuzz/corpus").join(target);
        std::fs::read_dir(folder).ok()
    });
    let folder = folder.unwrap_or_else(|| panic!("fuzz/corpus/{target} is missing"));
    folder
        .map(|entry| entry.expect("a listed folder").path())
        .collect()
}

/// Tells of which input a panic came.
struct Named<'p>(&'p Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}
