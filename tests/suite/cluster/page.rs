//! Pages of the docs that are what commands printed. `UPDATE=1` writes them anew.

use std::path::Path;

use tests::cluster::{Namespace, eventually};
use tests::installation::{Installation, PATIENCE};

/// The page: what was typed, and what was printed, with the names of this run replaced by those of every run.
pub(super) struct Page<'a> {
    pub(super) namespace: &'a Namespace,
    text: String,
    names: Vec<(String, &'static str)>,
}

impl<'a> Page<'a> {
    pub(super) fn new(namespace: &'a Namespace, names: Vec<(String, &'static str)>) -> Self {
        Self {
            namespace,
            text: String::new(),
            names,
        }
    }

    /// From here on this is shown by the second name.
    pub(super) fn call(&mut self, here: String, always: &'static str) {
        self.names.push((here, always));
    }

    /// A paragraph, or several.
    pub(super) fn say(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// Runs kubectl with these words until it prints what holds.
    pub(super) async fn until(&mut self, command: &str, holds: impl Fn(&str) -> bool) {
        let meant = self.meant(command);
        let words: Vec<&str> = meant.split_whitespace().collect();
        let printed = eventually(command, PATIENCE, || async {
            let printed = self.namespace.try_kubectl(&words).await?;
            holds(&printed).then_some(printed.clone()).ok_or(printed)
        })
        .await;
        self.show(&format!("kubectl {}", quoted(command)), &printed);
    }

    pub(super) async fn run(&mut self, command: &str) {
        self.until(command, |_| true).await;
    }

    /// Applies a file of docs/examples/kubernetes as it is, but for the names of this run.
    pub(super) async fn apply(&mut self, file: &str, text: &str) {
        let applied = self.namespace.try_apply(&self.meant(text)).await;
        let printed = applied.expect("accepted");
        self.show(&format!("kubectl apply -f {file}"), &printed);
    }

    pub(super) async fn curl(&mut self, product: &Installation, hostname: &str) {
        product.served(&format!("https://{hostname}/")).await;
        let command = format!("curl -s -o /dev/null -w '%{{http_code}}\\n' https://{hostname}/");
        self.show(&command, "200\n");
    }

    /// A command whose columns are aligned anew, as names of another length stand in them.
    pub(super) fn show(&mut self, command: &str, printed: &str) {
        let printed = aligned(&self.shown(printed));
        self.block(&self.shown(command), &printed);
    }

    /// A command that printed this. Lines for which `varies` holds are there in one run and not in another.
    pub(super) fn show_as_it_is(&mut self, command: &str, printed: &str, varies: fn(&str) -> bool) {
        let printed = self.shown(printed);
        let printed: Vec<_> = printed.lines().filter(|line| !varies(line)).collect();
        let printed = printed.iter().map(|line| format!("{}\n", line.trim_end()));
        self.block(&self.shown(command), &printed.collect::<String>());
    }

    /// A text of the page with the names of this run.
    pub(super) fn meant(&self, text: &str) -> String {
        let names = self.names.iter();
        names.fold(text.to_owned(), |text, (here, always)| {
            text.replace(always, here)
        })
    }

    fn shown(&self, text: &str) -> String {
        let names = self.names.iter();
        names.fold(text.to_owned(), |text, (here, always)| {
            text.replace(here, always)
        })
    }

    fn block(&mut self, command: &str, printed: &str) {
        self.text
            .push_str(&format!("\n```console\n$ {command}\n{printed}```\n"));
    }

    /// The page in `docs` is this one.
    pub(super) fn is_as_written(&self, page: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(page);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &self.text).expect("a writable page");
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(written, self.text, "docs/{page}; UPDATE=1 writes it anew");
    }
}

/// The columns of each table aligned anew, because names of another length stand in them, and each age the same.
fn aligned(printed: &str) -> String {
    let tables = printed.split("\n\n").map(aligned_table);
    tables.collect::<Vec<_>>().join("\n")
}

fn aligned_table(printed: &str) -> String {
    let rows: Vec<Vec<String>> = printed
        .lines()
        .map(|line| {
            let cells = line.split("  ").map(str::trim);
            let cells = cells.filter(|cell| !cell.is_empty());
            cells
                .map(|cell| if is_age(cell) { "5s" } else { cell }.to_owned())
                .collect()
        })
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(column, cell)| format!("{cell:<0$}", width(column)));
        let line: Vec<String> = cells.collect();
        text.push_str(line.join("   ").trim_end());
        text.push('\n');
    }
    text
}

/// `5s`, `2m10s`, `3h`.
fn is_age(cell: &str) -> bool {
    let is_unit = |c: char| matches!(c, 's' | 'm' | 'h');
    cell.len() <= 8
        && cell.starts_with(|c: char| c.is_ascii_digit())
        && cell.ends_with(is_unit)
        && cell.chars().all(|c| c.is_ascii_digit() || is_unit(c))
}

/// A command as a shell takes it.
fn quoted(command: &str) -> String {
    let words = command.split(' ').map(|word| match word.split_once('=') {
        Some((flag, value)) if value.starts_with(['{', '[']) => format!("{flag}='{value}'"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
